// Containers, exceptions across a frame and a thread: what needs libstdc++ at run time.
#include <Python.h>

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static int checked(const std::vector<int> &values, std::size_t at)
{
    return values.at(at);
}

static PyObject *sum(PyObject *, PyObject *args)
{
    long count;
    if (!PyArg_ParseTuple(args, "l", &count))
        return nullptr;
    std::vector<int> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), 1);
    long total = 0;
    std::thread worker([&] { total = std::accumulate(values.begin(), values.end(), 0L); });
    worker.join();
    return PyLong_FromLong(total);
}

static PyObject *overrun(PyObject *, PyObject *)
{
    try {
        return PyLong_FromLong(checked({1, 2, 3}, 7));
    } catch (const std::out_of_range &) {
        return PyUnicode_FromString(std::string("out of range").c_str());
    }
}

static PyMethodDef methods[] = {
    {"sum", sum, METH_VARARGS, nullptr}, {"overrun", overrun, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "smoke_cxx", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

PyMODINIT_FUNC PyInit_smoke_cxx()
{
    return PyModule_Create(&definition);
}
