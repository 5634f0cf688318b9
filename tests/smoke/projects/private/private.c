/* Two versions of one symbol: what links now gets the second. */
int smoke_private_old(void)
{
    return 1;
}
int smoke_private_new(void)
{
    return 2;
}
__asm__(".symver smoke_private_old,smoke_private@SMOKE_1");
__asm__(".symver smoke_private_new,smoke_private@@SMOKE_2");
