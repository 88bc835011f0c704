/* libmicrohttpd, loaded when the server begins: with the libraries that it brings it would slow every start of the
 * command. With MHD_INSIDE it is linked: wheels and static programs contain one that needs no other library. */
#ifndef SERVER_MHD_H
#define SERVER_MHD_H

#include <microhttpd.h>
#include <stdbool.h>

/* X(function): the functions that are used. */
#define MHD_MAP(X)                                                                                                     \
    X(MHD_start_daemon)                                                                                                \
    X(MHD_stop_daemon)                                                                                                 \
    X(MHD_quiesce_daemon)                                                                                              \
    X(MHD_get_daemon_info)                                                                                             \
    X(MHD_get_connection_info)                                                                                         \
    X(MHD_lookup_connection_value)                                                                                     \
    X(MHD_get_connection_values)                                                                                       \
    X(MHD_suspend_connection)                                                                                          \
    X(MHD_resume_connection)                                                                                           \
    X(MHD_create_response_from_buffer)                                                                                 \
    X(MHD_create_response_from_callback)                                                                               \
    X(MHD_add_response_header)                                                                                         \
    X(MHD_queue_response)                                                                                              \
    X(MHD_destroy_response)

typedef struct mhd_functions {
#define X(function) __typeof__(function) *function;
    MHD_MAP(X)
#undef X
} mhd_functions;

extern mhd_functions mhd;

/* False: a message was printed. */
bool mhd_load(void);

#endif
