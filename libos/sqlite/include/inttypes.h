/* SQLite includes it for the widths of integers. */
#include <stdint.h>
