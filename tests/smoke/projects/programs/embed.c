/* What an embedder does: starts Python, asks it something and ends it. */
#include <Python.h>

int main(void)
{
    Py_Initialize();
    int failed = PyRun_SimpleString("import sys, math, zlib; print('%d.%d' % sys.version_info[:2])");
    return Py_FinalizeEx() < 0 || failed;
}
