// One of two wheels in one process: each uses what libstdc++ keeps by process and thread, and calls into the other.
#include <Python.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define JOIN_(left, right) left##right
#define JOIN(left, right) JOIN_(left, right)

// As in a library of headers alone that both wheels were compiled with.
struct Failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

enum Work { COUNT, THROW_STANDARD, THROW_OWN };
static int counted, ended;

struct Local {
    int value = 0;
    ~Local() { ++ended; }
};
static thread_local Local local;

static void work(int what)
{
    if (what == THROW_STANDARD)
        throw std::out_of_range(TEXT(NAME));
    if (what == THROW_OWN)
        throw Failure(TEXT(NAME));
    ++counted;
}

static std::string caught(void (*function)(int), int what)
{
    try {
        function(what);
    } catch (const Failure &failure) {
        return std::string("own ") + failure.what();
    } catch (const std::logic_error &error) {
        return std::string("standard ") + error.what();
    } catch (...) {
        return "unknown";
    }
    return "nothing";
}

// The names of what does not work, separated by blanks.
static PyObject *broken(PyObject *, PyObject *)
{
    std::string said;
    if (caught(work, THROW_STANDARD) != "standard " TEXT(NAME) || caught(work, THROW_OWN) != "own " TEXT(NAME))
        said += "exceptions ";

    std::once_flag flag;
    int once = 0, seen = 0;
    local.value = 1;
    ended = 0;
    for (int number = 0; number < 2; ++number) {
        std::thread thread([&] {
            std::call_once(flag, [&] { ++once; });
            seen += ++local.value;
        });
        thread.join();
    }
    std::call_once(flag, [&] { ++once; });
    if (once != 1)
        said += "call_once ";
    if (seen != 2 || local.value != 1 || ended != 2)
        said += "thread_local ";
    return PyUnicode_FromString(said.c_str());
}

static PyObject *offer(PyObject *, PyObject *)
{
    return PyCapsule_New(reinterpret_cast<void *>(work), "smoke_pair.work", nullptr);
}

// What the other wheel's function throws into this one, and whether call_once of this one calls it once.
static PyObject *take(PyObject *, PyObject *capsule)
{
    auto function = reinterpret_cast<void (*)(int)>(PyCapsule_GetPointer(capsule, "smoke_pair.work"));
    if (!function)
        return nullptr;
    std::once_flag flag;
    std::call_once(flag, function, COUNT);
    std::call_once(flag, function, THROW_OWN);
    return PyUnicode_FromString((caught(function, THROW_STANDARD) + ", " + caught(function, THROW_OWN)).c_str());
}

static PyObject *calls(PyObject *, PyObject *)
{
    return PyLong_FromLong(counted);
}

static PyMethodDef methods[] = {{"broken", broken, METH_NOARGS, nullptr},
                                {"offer", offer, METH_NOARGS, nullptr},
                                {"take", take, METH_O, nullptr},
                                {"calls", calls, METH_NOARGS, nullptr},
                                {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, TEXT(NAME), nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC JOIN(PyInit_, NAME)()
{
    return PyModule_Create(&definition);
}
