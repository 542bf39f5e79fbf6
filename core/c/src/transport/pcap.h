/* pcap files of UDP datagrams: nanosecond time stamps, LINKTYPE_RAW, IP and UDP headers made from addresses. */
#ifndef FL_TRANSPORT_PCAP_H
#define FL_TRANSPORT_PCAP_H

#include <stddef.h>
#include <stdint.h>

#include <framelane/types.h>

#define FL_PCAP_FILE_HEADER_LENGTH 24
#define FL_PCAP_RECORD_HEADER_MAXIMUM (16 + 40 + 8)

/* Write the file's header: FL_PCAP_FILE_HEADER_LENGTH bytes. */
void fl_pcap_write_file_header(uint8_t *out);

/* Write what precedes a datagram's bytes in the file: the record's header, then IP and UDP headers with correct lengths
 * and checksums. Addresses are of one family.
 *
 * out       room for FL_PCAP_RECORD_HEADER_MAXIMUM bytes
 * length    of data, at most 65507
 * returns   bytes written; `length` bytes of data follow them in the file
 */
size_t fl_pcap_write_record_header(
    uint8_t *out, int64_t epoch_ns, const fl_address_t *source, const fl_address_t *destination, const uint8_t *data,
    uint32_t length);

#endif
