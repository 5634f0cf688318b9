integer function thrice(value)
    integer, intent(in) :: value
    thrice = 3 * value
end function
