/* The least an extension can do: call into Python, the C library and libm. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>

static PyObject *hypotenuse(PyObject *self, PyObject *args)
{
    double a, b;
    (void)self;
    if (!PyArg_ParseTuple(args, "dd", &a, &b))
        return NULL;
    return PyFloat_FromDouble(hypot(a, b));
}

static PyMethodDef methods[] = {{"hypotenuse", hypotenuse, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "smoke_c", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_smoke_c(void)
{
    return PyModule_Create(&definition);
}
