/* Lends a machine the AMX tiles that it lacks: the process stops at each of their instructions, and a signal handler
 * executes it. So tests run the library's own machine code for tiles, and the choices that the library makes where
 * there are tiles. An instruction takes some microseconds. */
#ifndef CAPP_LENT_TILES_H
#define CAPP_LENT_TILES_H

/* From now on the process has tiles; with CAPP_LEND_TILES in the environment it has them from the start. The machine
 * needs VDPBF16PS, which all machines with tiles have; without it, and where there are real tiles, nothing changes. The
 * linker replaces capp_cpu_features and capp_cpu_request by the ones of this file (--wrap); only tests are linked so.
 */
void lend_tiles(void);

#endif
