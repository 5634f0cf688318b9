#include <math.h>

int main(int count, char **arguments)
{
    (void)arguments;
    return cos(count - 1) == 1 ? 0 : 1;
}
