#include <stdio.h>
#include "total.h"

int main(void)
{
    printf("%d\n", smoke_total());
    return 0;
}
