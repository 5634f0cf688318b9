#define JOIN(a, b) a##b
#define NAME(number) JOIN(smoke_many, number)
int NAME(NUMBER)(void)
{
    return NUMBER;
}
