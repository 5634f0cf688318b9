// A little of everything in libstdc++ that got new symbols over the years: it must still fit the image's policy.
#include <Python.h>

#include <array>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <locale>
#include <map>
#include <memory>
#include <random>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>
#if defined(__cpp_lib_ranges)
#include <ranges>
#endif
#if defined(__cpp_lib_format)
#include <format>
#endif

namespace fs = std::filesystem;

static long torture()
{
    long passed = 0;
    std::stringstream stream;
    stream << 1 << ' ' << 2.5 << ' ' << std::string("three");
    int one;
    double two;
    std::string three;
    stream >> one >> two >> three;
    passed += one == 1 && two == 2.5 && three == "three";

    passed += std::regex_match("smoke-42", std::regex("[a-z]+-([0-9]+)"));

    std::array<char, 32> text{};
    auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), 12345);
    long number = 0;
    std::from_chars(text.data(), end, number);
    passed += error == std::errc() && number == 12345;

    const fs::path directory = fs::temp_directory_path() / ("smoke-torture-" + std::to_string(std::random_device{}()));
    fs::create_directories(directory / "a" / "b");
    std::ofstream(directory / "a" / "file") << "text";
    passed += fs::file_size(directory / "a" / "file") == 4;
    passed += fs::remove_all(directory) == 4;

    std::mutex mutex;
    std::condition_variable ready;
    bool done = false;
    std::thread thread([&] {
        std::lock_guard<std::mutex> lock(mutex);
        done = true;
        ready.notify_one();
    });
    {
        std::unique_lock<std::mutex> lock(mutex);
        passed += ready.wait_for(lock, std::chrono::seconds(10), [&] { return done; });
    }
    thread.join();

    auto future = std::async(std::launch::async, [] { return 6 * 7; });
    passed += future.get() == 42;

    std::promise<int> promise;
    promise.set_exception(std::make_exception_ptr(std::runtime_error("expected")));
    try {
        promise.get_future().get();
    } catch (const std::runtime_error &expected) {
        passed += std::string(expected.what()) == "expected";
    }

    std::shared_mutex shared;
    std::shared_lock<std::shared_mutex> reading(shared);
    std::unordered_map<std::string, std::shared_ptr<int>> map;
    map["x"] = std::make_shared<int>(3);
    passed += *map.at("x") == 3 && reading.owns_lock();

    std::mt19937 generator(1);
    passed += std::uniform_int_distribution<>(1, 1)(generator) == 1;
    return passed;
}

static PyObject *run(PyObject *, PyObject *)
{
    return PyLong_FromLong(torture());
}

static PyMethodDef methods[] = {{"run", run, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "smoke_torture", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_smoke_torture()
{
    return PyModule_Create(&definition);
}
