/* Access to words of shared memory: each load and store says its order.
 *
 * The addresses are naturally aligned. The words may be written by other processes at any time, so a caller reads a
 * word once into a local and checks that.
 */
#ifndef FL_SHM_WORDS_H
#define FL_SHM_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the shared files and the wire are little-endian, and words are accessed natively"
#endif

/* Shared memory is seen through structs, bytes and words alike. */
typedef _Atomic uint8_t __attribute__((may_alias)) fl_atomic_u8_t;
typedef _Atomic int32_t __attribute__((may_alias)) fl_atomic_i32_t;
typedef _Atomic int64_t __attribute__((may_alias)) fl_atomic_i64_t;

/* A duty cycle must not take a lock behind an atomic. */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2, "atomics are lock free");

#define FL_DEFINE_WORD(name, type, atomic_type)                                                                        \
    static inline type fl_##name##_load_relaxed(const void *word)                                                      \
    {                                                                                                                  \
        return atomic_load_explicit((const atomic_type *)word, memory_order_relaxed);                                  \
    }                                                                                                                  \
    static inline type fl_##name##_load_acquire(const void *word)                                                      \
    {                                                                                                                  \
        return atomic_load_explicit((const atomic_type *)word, memory_order_acquire);                                  \
    }                                                                                                                  \
    static inline void fl_##name##_store_relaxed(void *word, type value)                                               \
    {                                                                                                                  \
        atomic_store_explicit((atomic_type *)word, value, memory_order_relaxed);                                       \
    }                                                                                                                  \
    static inline void fl_##name##_store_release(void *word, type value)                                               \
    {                                                                                                                  \
        atomic_store_explicit((atomic_type *)word, value, memory_order_release);                                       \
    }

FL_DEFINE_WORD(u8, uint8_t, fl_atomic_u8_t)
FL_DEFINE_WORD(i32, int32_t, fl_atomic_i32_t)
FL_DEFINE_WORD(i64, int64_t, fl_atomic_i64_t)
#undef FL_DEFINE_WORD

/* Fetch-add and CAS are sequentially consistent, as the specification's conventions say. */
static inline int32_t fl_i32_fetch_add(void *word, int32_t delta)
{
    return atomic_fetch_add_explicit((fl_atomic_i32_t *)word, delta, memory_order_seq_cst);
}

static inline int64_t fl_i64_fetch_add(void *word, int64_t delta)
{
    return atomic_fetch_add_explicit((fl_atomic_i64_t *)word, delta, memory_order_seq_cst);
}

/* For sums that publish nothing else. */
static inline int64_t fl_i64_fetch_add_relaxed(void *word, int64_t delta)
{
    return atomic_fetch_add_explicit((fl_atomic_i64_t *)word, delta, memory_order_relaxed);
}

static inline bool fl_i32_cas(void *word, int32_t expected, int32_t desired)
{
    return atomic_compare_exchange_strong_explicit(
        (fl_atomic_i32_t *)word, &expected, desired, memory_order_seq_cst, memory_order_relaxed);
}

static inline bool fl_i64_cas(void *word, int64_t expected, int64_t desired)
{
    return atomic_compare_exchange_strong_explicit(
        (fl_atomic_i64_t *)word, &expected, desired, memory_order_seq_cst, memory_order_relaxed);
}

/* Fences, for where many stores follow one announcement. GCC's thread sanitizer does not model them and says so; what
 * they order is accessed atomically on both sides. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtsan"
#endif
static inline void fl_fence_release(void)
{
    atomic_thread_fence(memory_order_release);
}

static inline void fl_fence_acquire(void)
{
    atomic_thread_fence(memory_order_acquire);
}

static inline void fl_fence_seq_cst(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/* Difference of words that anybody may have written: wraps where a signed subtraction would overflow. */
static inline int64_t fl_i64_sub(int64_t left, int64_t right)
{
    return (int64_t)((uint64_t)left - (uint64_t)right);
}

/* Round up to a multiple of alignment, a power of two. 64 bits wide, so that no length off the wire overflows. */
static inline int64_t fl_align(int64_t value, int64_t alignment)
{
    return (value + (alignment - 1)) & ~(alignment - 1);
}

static inline bool fl_is_power_of_two(int64_t value)
{
    return value > 0 && 0 == (value & (value - 1));
}

#endif
