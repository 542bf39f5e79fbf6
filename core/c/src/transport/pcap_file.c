#include "transport/pcap_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "transport/pcap.h"
#include "util/error.h"

int fl_pcap_file_open(fl_pcap_file_t *file, const fl_host_t *host, const char *path)
{
    file->host = host;
    file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file->fd < 0)
    {
        return fl_error(errno, "capture: cannot write %s: %s", path, strerror(errno));
    }
    fl_pcap_write_file_header(file->buffer);
    file->buffered = FL_PCAP_FILE_HEADER_LENGTH;
    return 0;
}

void fl_pcap_file_close(fl_pcap_file_t *file)
{
    fl_pcap_file_flush(file);
    close(file->fd);
}

void fl_pcap_file_write(
    fl_pcap_file_t *file, int64_t epoch_ns, const fl_address_t *source, const fl_address_t *destination,
    const uint8_t *data, uint32_t length)
{
    if (file->buffered + FL_PCAP_RECORD_HEADER_MAXIMUM + length > sizeof(file->buffer))
    {
        fl_pcap_file_flush(file);
    }
    file->buffered += (uint32_t)fl_pcap_write_record_header(
        file->buffer + file->buffered, epoch_ns, source, destination, data, length);
    memcpy(file->buffer + file->buffered, data, length);
    file->buffered += length;
    file->buffered_datagrams++;
}

void fl_pcap_file_flush(fl_pcap_file_t *file)
{
    uint32_t done = 0;
    while (done < file->buffered && 0 == file->error)
    {
        const ssize_t count = write(file->fd, file->buffer + done, file->buffered - done);
        if (count < 0 && EINTR != errno)
        {
            char text[128];
            file->error = errno;
            snprintf(text, sizeof(text), "capture: writing failed, it ends here: %s", strerror(errno));
            file->host->log(file->host, FL_LOG_ERROR, text);
        }
        done += count > 0 ? (uint32_t)count : 0;
    }
    fl_pcap_file_count(0 == file->error ? &file->written : &file->dropped, file->buffered_datagrams);
    file->buffered = 0;
    file->buffered_datagrams = 0;
}
