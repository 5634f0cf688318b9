/* An extension in the limited API of 3.8, unless asked to break that promise. */
#include <Python.h>

static PyObject *answer(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
#ifdef SMOKE_ABI3_BROKEN
    return PyFunction_GetDefaults(self) ? NULL : PyLong_FromLong(0);
#else
    return PyLong_FromLong(42);
#endif
}

static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "smoke_abi3", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_smoke_abi3(void)
{
    return PyModule_Create(&definition);
}
