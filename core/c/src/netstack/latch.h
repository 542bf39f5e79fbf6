/* A value that one thread replaces and others copy, without either waiting: two copies under a sequence count.
 *
 * Readers take copy (sequence & 1), which the writer does not touch until it has raised the sequence again; so a writer
 * that is held up in the middle stops nobody, and a reader that was overtaken tries again. The words are atomics, so
 * what a reader copies while the writer overtakes it is defined, and then thrown away.
 *
 * Orders: there are no fences. The writer's sequence store comes before its data stores because those are releases; the
 * reader's second look at the sequence comes after its data loads because those are acquires. A reader that saw one new
 * word therefore sees the sequence that went before it.
 */
#ifndef FL_NETSTACK_LATCH_H
#define FL_NETSTACK_LATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FL_LATCH_WORDS(type) (sizeof(type) / sizeof(uint64_t))

static inline uint32_t fl_latch_begin(_Atomic uint32_t *sequence)
{
    /* Acquire: pairs with the releases of the sequence in fl_latch_publish(): the copy that it names is whole. */
    return atomic_load_explicit(sequence, memory_order_acquire);
}

/* Whether the copy may have changed since fl_latch_begin() returned `begun`. */
static inline bool fl_latch_has_moved(_Atomic uint32_t *sequence, uint32_t begun)
{
    /* Relaxed: the acquires of fl_latch_load() keep it behind the data. Raised since, the writer may be at our copy. */
    return atomic_load_explicit(sequence, memory_order_relaxed) != begun;
}

/* Copy `words` words of a latched value. Thread: reader. */
static inline void fl_latch_load(_Atomic uint64_t *from, void *to, size_t words)
{
    for (size_t i = 0; i < words; i++)
    {
        /* Acquire: pairs with the release in fl_latch_store(); the sequence stored before the word is seen by the next
         * look. */
        const uint64_t word = atomic_load_explicit(&from[i], memory_order_acquire);
        memcpy((uint8_t *)to + i * sizeof(word), &word, sizeof(word));
    }
}

/* Replace `words` words of the copy that readers are not at. Thread: writer. */
static inline void fl_latch_store(_Atomic uint64_t *to, const void *from, size_t words)
{
    for (size_t i = 0; i < words; i++)
    {
        uint64_t word;
        memcpy(&word, (const uint8_t *)from + i * sizeof(word), sizeof(word));
        /* Release: pairs with the acquire in fl_latch_load() and publishes the sequence that was raised before. */
        atomic_store_explicit(&to[i], word, memory_order_release);
    }
}

/* Send the readers to the other copy. The writer does so, changes the copy that they left, and does both once more. */
static inline void fl_latch_publish(_Atomic uint32_t *sequence)
{
    const uint32_t raised = atomic_load_explicit(sequence, memory_order_relaxed) + 1;
    /* Release: pairs with the acquire in fl_latch_begin(); the copy that readers now go to is whole. */
    atomic_store_explicit(sequence, raised, memory_order_release);
}

#endif
