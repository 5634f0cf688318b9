/* Runs the compiler of the same name in REAL_DIRECTORY for baseline x86-64, unless the arguments choose a processor.
 *
 * The compilers of RHEL 9 and later default to -march=x86-64-v2, whose wheels crash on older processors
 * (https://github.com/pypa/manylinux/issues/1725). -march given: nothing is added; only -mtune: -march=x86-64.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int march = 0, mtune = 0, count = 1;
    char path[4096];
    char **arguments = calloc((size_t)argc + 3, sizeof *arguments);

    if (arguments == NULL) {
        perror(argv[0]);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        march |= strncmp(argv[i], "-march=", 7) == 0;
        mtune |= strncmp(argv[i], "-mtune=", 7) == 0;
    }
    if (!march)
        arguments[count++] = "-march=x86-64";
    if (!march && !mtune)
        arguments[count++] = "-mtune=generic";
    memcpy(arguments + count, argv + 1, (size_t)argc * sizeof *argv); /* with the final NULL */

    /* gcc finds its own parts relative to the path it is called by. */
    if (snprintf(path, sizeof path, "%s/%s", REAL_DIRECTORY, basename(argv[0])) >= (int)sizeof path) {
        fprintf(stderr, "%s: name too long\n", argv[0]);
        return 1;
    }
    arguments[0] = path;
    execv(path, arguments);
    perror(path);
    return 127;
}
