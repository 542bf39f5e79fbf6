/* Polling the images of a subscription in turn (shm 7.7). */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/image.h"
#include "shm/counters.h"
#include "util/error.h"

/* What the last poll took from one image. */
typedef struct fl_taken
{
    fl_client_image_t *image;
    int64_t position;               /* before the poll, as the others */
    size_t assembled_length;
    int32_t next_term_offset;
} fl_taken_t;

struct fl_client_subscription
{
    pthread_mutex_t mutex;          /* of the image list: taken for a poll, and to change the list */
    fl_client_image_t **images;
    fl_taken_t *taken;              /* as many as images */
    uint32_t count;
    uint32_t capacity;
    uint32_t taken_count;
    uint32_t next_image;            /* where the next poll begins */
    const fl_fragment_t *fragments; /* of the last poll, the caller's memory */
    uint32_t fragment_count;
    _Atomic uint32_t is_closed;
};

fl_client_subscription_t *fl_client_subscription_new(void)
{
    fl_client_subscription_t *subscription = calloc(1, sizeof(*subscription));
    if (NULL == subscription)
    {
        fl_error(FL_ENOMEM, "no memory for a subscription");
        return NULL;
    }
    pthread_mutex_init(&subscription->mutex, NULL);
    return subscription;
}

void fl_client_subscription_close(fl_client_subscription_t *subscription)
{
    atomic_store_explicit(&subscription->is_closed, 1, memory_order_release);
}

void fl_client_subscription_free(fl_client_subscription_t *subscription)
{
    pthread_mutex_destroy(&subscription->mutex);
    free(subscription->images);
    free(subscription->taken);
    free(subscription);
}

/* ---- the image list ---- */

int fl_client_subscription_add_image(fl_client_subscription_t *subscription, fl_client_image_t *image)
{
    int result = 0;
    pthread_mutex_lock(&subscription->mutex);
    if (subscription->count == subscription->capacity)
    {
        const uint32_t capacity = 0 == subscription->capacity ? 4 : 2 * subscription->capacity;
        fl_client_image_t **images = realloc(subscription->images, capacity * sizeof(*images));
        subscription->images = NULL == images ? subscription->images : images;
        fl_taken_t *taken = realloc(subscription->taken, capacity * sizeof(*taken));
        subscription->taken = NULL == taken ? subscription->taken : taken;
        if (NULL == images || NULL == taken)
        {
            result = fl_error(FL_ENOMEM, "no memory for %u images", capacity);
        }
        else
        {
            subscription->capacity = capacity;
        }
    }
    if (0 == result)
    {
        subscription->images[subscription->count++] = image;
    }
    pthread_mutex_unlock(&subscription->mutex);
    return result;
}

/* Keep the order of the others: images are polled in turn. */
static int fl_subscription_take_out(fl_client_subscription_t *subscription, const fl_client_image_t *image)
{
    for (uint32_t i = 0; i < subscription->count; i++)
    {
        if (subscription->images[i] == image)
        {
            subscription->count--;
            memmove(&subscription->images[i], &subscription->images[i + 1],
                (subscription->count - i) * sizeof(*subscription->images));
            return 0;
        }
    }
    return -FL_ENOENT;
}

int fl_client_subscription_remove_image(fl_client_subscription_t *subscription, fl_client_image_t *image)
{
    pthread_mutex_lock(&subscription->mutex);
    const int result = fl_subscription_take_out(subscription, image);
    for (uint32_t i = 0; i < subscription->taken_count; i++)
    {
        if (subscription->taken[i].image == image)
        {
            subscription->taken[i].image = NULL;
        }
    }
    pthread_mutex_unlock(&subscription->mutex);
    return result;
}

/* ---- polling ---- */

/* Take an image back to behind the last of its fragments that lies before fragment `count`, if there is one behind
 * that. */
static void fl_subscription_step_back(fl_client_subscription_t *subscription, const fl_taken_t *taken, uint32_t count)
{
    fl_client_image_t *image = taken->image;
    int64_t position = taken->position;
    bool is_cut = false;
    for (uint32_t k = 0; k < subscription->fragment_count && !is_cut; k++)
    {
        if (subscription->fragments[k].image == image)
        {
            is_cut = k >= count;
            position = is_cut ? position : subscription->fragments[k].position;
        }
    }
    if (is_cut)
    {
        /* A message that an earlier poll had begun to put together is still in the buffer, up to that length. */
        const bool is_untouched = position == taken->position;
        image->read_position = position;
        image->assembler.length = is_untouched ? taken->assembled_length : 0;
        image->assembler.next_term_offset = is_untouched ? taken->next_term_offset : -1;
    }
}

/* Publish what was consumed: the first `count` fragments of the last poll, and padding behind them. */
static void fl_subscription_consume(fl_client_subscription_t *subscription, uint32_t count)
{
    for (uint32_t i = 0; i < subscription->taken_count; i++)
    {
        fl_client_image_t *image = subscription->taken[i].image;
        if (NULL != image && !fl_client_image_is_closed(image))
        {
            if (count < subscription->fragment_count)
            {
                fl_subscription_step_back(subscription, &subscription->taken[i], count);
            }
            /* Release: pairs with the driver's acquire; the reads of what lies before are done, so it may be
             * cleaned. */
            fl_counter_set(image->position, image->read_position);
        }
    }
    subscription->taken_count = 0;
    subscription->fragment_count = 0;
}

void fl_client_subscription_release(fl_client_subscription_t *subscription, uint32_t count)
{
    pthread_mutex_lock(&subscription->mutex);
    fl_subscription_consume(subscription, count);
    pthread_mutex_unlock(&subscription->mutex);
}

int fl_client_subscription_poll(
    fl_client_subscription_t *subscription, fl_fragment_t *fragments, uint32_t limit, int assemble)
{
    if (0 != atomic_load_explicit(&subscription->is_closed, memory_order_acquire))
    {
        return FL_CLOSED;
    }
    pthread_mutex_lock(&subscription->mutex);
    fl_subscription_consume(subscription, subscription->fragment_count);
    uint32_t taken = 0;
    uint32_t index = subscription->next_image < subscription->count ? subscription->next_image : 0;
    subscription->next_image = index + 1;
    for (uint32_t i = 0; i < subscription->count && taken < limit; i++)
    {
        fl_client_image_t *image = subscription->images[index];
        const fl_taken_t before = {
            image, image->read_position, image->assembler.length, image->assembler.next_term_offset};
        taken += fl_client_image_read(image, fragments + taken, limit - taken, 0 != assemble);
        if (image->read_position != before.position)
        {
            subscription->taken[subscription->taken_count++] = before;
        }
        index = index + 1 < subscription->count ? index + 1 : 0;
    }
    subscription->fragments = fragments;
    subscription->fragment_count = taken;
    if (0 == taken)
    {
        fl_subscription_consume(subscription, 0);   /* padding, and parts of a message that is not whole yet */
    }
    pthread_mutex_unlock(&subscription->mutex);
    return (int)taken;
}
