/* A pcap file that is being written, by one thread at a time. The first write that fails is logged and ends it: what is
 * written later counts as dropped. */
#ifndef FL_TRANSPORT_PCAP_FILE_H
#define FL_TRANSPORT_PCAP_FILE_H

#include <stdatomic.h>

#include <framelane/host.h>

#define FL_PCAP_FILE_BUFFER_LENGTH (1u << 18)

typedef struct fl_pcap_file
{
    const fl_host_t *host;
    _Atomic int64_t written;         /* datagrams; read by any thread */
    _Atomic int64_t dropped;
    int fd;
    int error;                       /* errno of the first failed write */
    int64_t buffered_datagrams;
    uint32_t buffered;               /* bytes */
    uint8_t buffer[FL_PCAP_FILE_BUFFER_LENGTH];
} fl_pcap_file_t;

/* Make the file. Returns 0, or a negative FL_E* with the error text set. */
int fl_pcap_file_open(fl_pcap_file_t *file, const fl_host_t *host, const char *path);

/* Write what is buffered, and close. */
void fl_pcap_file_close(fl_pcap_file_t *file);

/* Write one datagram; into the buffer, which fl_pcap_file_flush() empties into the file. */
void fl_pcap_file_write(
    fl_pcap_file_t *file, int64_t epoch_ns, const fl_address_t *source, const fl_address_t *destination,
    const uint8_t *data, uint32_t length);
void fl_pcap_file_flush(fl_pcap_file_t *file);

/* Add to a total. Any thread. */
static inline void fl_pcap_file_count(_Atomic int64_t *total, int64_t count)
{
    atomic_fetch_add_explicit(total, count, memory_order_relaxed);
}

#endif
