/* One function, in a module that also loads into free-threaded Pythons. */
#include <Python.h>

static PyObject *add(PyObject *self, PyObject *args)
{
    long left, right;
    (void)self;
    if (!PyArg_ParseTuple(args, "ll", &left, &right))
        return NULL;
    return PyLong_FromLong(left + right);
}

static PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, "The sum of two numbers."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_native",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__native(void)
{
    return PyModuleDef_Init(&module);
}
