unsigned int smoke(void);

int main(void)
{
    return smoke() == 42 ? 0 : 1;
}
