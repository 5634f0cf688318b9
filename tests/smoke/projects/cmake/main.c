#ifdef SMOKE_SQLITE
#include <sqlite3.h>
#endif

int twice(int);
int thrice_(const int *);

int main(void)
{
    int seven = 7;
#ifdef SMOKE_SQLITE
    if (sqlite3_libversion_number() < SQLITE_VERSION_NUMBER)
        return 2;
#endif
    return twice(seven) + thrice_(&seven) == 35 ? 0 : 1;
}
