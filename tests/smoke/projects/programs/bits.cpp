// Compiled to one instruction where the compiler may use it, to a call where it may not.
extern "C" int bits(unsigned value)
{
    return __builtin_popcount(value);
}
