! Compiled to one instruction where the compiler may use it, to a call where it may not.
integer function bits(value)
    integer, intent(in) :: value
    bits = popcnt(value)
end function
