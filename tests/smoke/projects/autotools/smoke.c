#include <X11/Xlib.h>
#include <glib.h>

unsigned int smoke(void)
{
    return g_str_hash("smoke") && XDisplayName(0) ? 42 : 0;
}
