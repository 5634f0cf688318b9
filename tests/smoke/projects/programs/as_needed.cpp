// Uses symbols that a toolset keeps in the static half of its libstdc++.
#include <cassert>
#include <fstream>
#include <regex>
#include <string>
#include <thread>
#include <vector>

int main()
{
    std::vector<int> values{1};
    std::string text = std::to_string(values[0]);
    std::thread thread([&] { text += 'x'; });
    thread.join();
    return std::regex_match(text, std::regex("[0-9]x")) ? 0 : 1;
}
