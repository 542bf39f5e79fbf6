/* What the parts of the stand-in share. */
#ifndef VMA_STAND_IN_PARTS_H
#define VMA_STAND_IN_PARTS_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STAND_IN_EXPORT __attribute__((visibility("default")))

/* Descriptors from here on are not looked after. */
#define STAND_IN_SOCKETS 65536
#define STAND_IN_DATAGRAM_LENGTH 65536

/* What VMA_STAND_IN says. */
typedef struct stand_in_options
{
    bool is_allowed;
    bool is_kernel;
    bool has_no_api;
    bool own_rings;
    bool is_three_tuple;
    bool tells_full;   /* VMA_TX_NONBLOCKED_EAGAINS=1 */
    int refuse;
    const char *late_rings;   /* a ring is made with the first datagram: "ring", or "kernel" if it is none then */
    unsigned packets;
    unsigned copy_every;
    unsigned fragment;
    unsigned tx_full_every;
} stand_in_options_t;

/* Read from the environment at the first call, as VMA does. */
const stand_in_options_t *stand_in_options(void);

/* What happened, for tests. */
typedef struct stand_in_figures
{
    _Atomic uint64_t held;
    _Atomic uint64_t held_peak;
    _Atomic uint64_t zero_copy;
    _Atomic uint64_t copied;
    _Atomic uint64_t tx_full;
    _Atomic uint64_t tx_dropped;
} stand_in_figures_t;

extern stand_in_figures_t stand_in_figures;

/* A socket that the stand-in has made. */
typedef struct stand_in_socket
{
    bool is_made;
    bool is_offloaded;
    bool is_bound;
    bool has_peer;              /* that it is connected to by the stand-in alone */
    uint32_t ring;              /* user id; 0: the interface's */
    struct sockaddr_in peer;
    _Atomic unsigned sent;
    _Atomic int64_t held;
} stand_in_socket_t;

/* NULL for a descriptor that is not one of its sockets. */
stand_in_socket_t *stand_in_socket(int fd);

/* Note that the calling thread uses the socket's ring. */
void stand_in_use_ring(const stand_in_socket_t *socket);

/* End the process with a text. */
void stand_in_abort(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Take a packet of the pool and fill it; it can only be read. Returns its id and sets `data`; NULL if all are held. */
void *stand_in_packet_take(int fd, const void *datagram, size_t length, uint8_t **data);

/* Give a packet back; it cannot be read any more. Returns 0, or ENOENT for one of another socket. */
int stand_in_packet_free(int fd, void *id);

struct vma_api_t;
const struct vma_api_t *stand_in_api(void);

#endif
