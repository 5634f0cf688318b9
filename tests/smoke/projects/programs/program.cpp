#include <iostream>
#include <stdexcept>

int main()
{
    try {
        throw std::runtime_error("expected");
    } catch (const std::exception &error) {
        std::cout << error.what();
    }
    return 0;
}
