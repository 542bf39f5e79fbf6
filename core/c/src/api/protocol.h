/* Checks of whole datagrams, for tools and tests. The agents use protocol/validate.h. */
#ifndef FL_API_PROTOCOL_H
#define FL_API_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

/* Check a datagram at both levels of wire 9.1, as a driver does before it acts on it.
 *
 * term_length   of the stream that it names
 * returns       the type of its first frame, or a negated reason
 */
int32_t fl_frame_check(const uint8_t *datagram, size_t length, int32_t term_length);

/* Bytes that the frames of a data datagram take in the term, 0 for a heartbeat, or a negated reason. The datagram's
 * first 32 bytes exist. */
int64_t fl_frame_extent(const uint8_t *datagram, size_t length, int32_t term_length);

/* Short name of a reason, such as "term-offset"; for labels and logs. Never NULL. */
const char *fl_invalid_name(int reason);

#endif
