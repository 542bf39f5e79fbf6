/* Addresses of the ABI as the kernel's socket addresses, and back. IPv4 alone: VMA has no other. */
#ifndef FL_VMA_ADDRESS_H
#define FL_VMA_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>

#include <framelane/types.h>

/* Long enough for "255.255.255.255:65535". */
#define FL_ADDRESS_TEXT_LENGTH 24

static_assert(sizeof(struct sockaddr_in) <= sizeof(((fl_peer_t *)0)->cache), "a name fits a peer's cache");

void fl_name_from_address(struct sockaddr_in *name, const fl_address_t *address);

/* Write every byte of `address`. */
void fl_address_from_name(fl_address_t *address, const struct sockaddr_in *name);

bool fl_address_is_wildcard(const fl_address_t *address);
bool fl_address_is_multicast(const fl_address_t *address);

/* Write the terminated text of an IPv4 address with its port. Returns `text`. */
const char *fl_address_format(const fl_address_t *address, char text[FL_ADDRESS_TEXT_LENGTH]);

#endif
