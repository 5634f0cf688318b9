program smoke
    real :: x(3)
    x = [1.0, 2.0, 3.0]
    if (abs(sum(x) - 6.0) > 1e-5) stop 1
end program
