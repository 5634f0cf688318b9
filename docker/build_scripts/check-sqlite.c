/* Fails unless the SQLite library loaded at run time has the version and the options named in the arguments. */
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    int missing = 0;
    char option[128];

    if (argc < 2 || strcmp(sqlite3_libversion(), argv[1]) != 0) {
        fprintf(stderr, "version: %s\n", sqlite3_libversion());
        missing = 1;
    }
    for (int i = 2; i < argc; i++) {
        snprintf(option, sizeof option, strchr(argv[i], '=') ? "%s" : "ENABLE_%s", argv[i]);
        if (!sqlite3_compileoption_used(option)) {
            fprintf(stderr, "missing: %s\n", option);
            missing = 1;
        }
    }
    return missing;
}
