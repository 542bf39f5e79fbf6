/* What the control plane does with images that exist: each call is one step of the receiver. */
#include <stdlib.h>
#include <string.h>

#include "driver/driver.h"
#include "driver/subscriber_call.h"
#include "receiver/image.h"
#include "shm/loss_report.h"
#include "util/error.h"

typedef struct fl_image_call
{
    fl_image_t *image;
    int32_t session_id;            /* of responses */
    char *text;                    /* why the image is rejected; allocated by the control thread; out: what it frees */
    int32_t text_length;
    fl_loss_record_t *record;
    int64_t bytes;
    int64_t count;
} fl_image_call_t;

/* ---- subscribers ---- */

static int64_t fl_image_call_link(void *argument)
{
    fl_subscriber_call_t *call = argument;
    fl_image_t *image = call->source;
    if (0 == image->subscribers.count)
    {
        return -FL_EAGAIN;
    }
    const int64_t lowest = fl_image_lowest_position(image);
    if (image->state >= FL_IMAGE_LINGER ||
        (FL_IMAGE_DRAINING == image->state && lowest >= image->rebuild_position))
    {
        return -FL_EAGAIN;
    }
    fl_subscribers_append(&image->subscribers, call, lowest);
    fl_receiver_activate(image->receiver, image);
    return lowest;
}

int64_t fl_image_link(
    fl_driver_t *driver, fl_image_t *image, int64_t subscription_id, int32_t position_counter_id)
{
    fl_subscriber_call_t call = {.source = image, .subscription_id = subscription_id};
    return fl_subscribers_link(
        &image->subscribers, driver, FL_AGENT_RECEIVER, fl_image_call_link, &call, position_counter_id);
}

static int64_t fl_image_call_unlink(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    fl_image_t *image = call->source;
    const int result = fl_subscribers_remove(&image->subscribers, call->subscription_id);
    if (0 == result && image->state < FL_IMAGE_LINGER)
    {
        fl_receiver_activate(image->receiver, image);   /* the lowest position may have moved */
    }
    else if (0 == result)
    {
        fl_image_check_state_soon(image, fl_clock_nano_now(image->receiver->context->clock));
    }
    return result;
}

int fl_image_unlink(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = image, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_unlink, &call);
}

static int64_t fl_image_call_is_behind(void *argument)
{
    const fl_subscriber_call_t *call = argument;
    fl_image_t *image = call->source;
    int64_t lowest;
    int64_t highest;
    fl_subscribers_read(&image->subscribers, image->rebuild_position, &lowest, &highest);
    return fl_subscribers_is_behind(&image->subscribers, call->subscription_id, highest, image->next_sm_window);
}

int fl_image_is_behind(fl_driver_t *driver, fl_image_t *image, int64_t subscription_id)
{
    fl_subscriber_call_t call = {.source = image, .subscription_id = subscription_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_is_behind, &call);
}

/* ---- response channels ---- */

static int64_t fl_image_call_respond(void *argument)
{
    const fl_image_call_t *call = argument;
    fl_image_t *image = call->image;
    image->is_responding = true;
    image->response_session_id = call->session_id;
    fl_image_send_response_setup(image, fl_clock_nano_now(image->receiver->context->clock));
    return 0;
}

int fl_image_respond(fl_driver_t *driver, fl_image_t *image, int32_t response_session_id)
{
    fl_image_call_t call = {.image = image, .session_id = response_session_id};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_respond, &call);
}

static int64_t fl_image_call_stop_responding(void *argument)
{
    ((fl_image_call_t *)argument)->image->is_responding = false;
    return 0;
}

int fl_image_stop_responding(fl_driver_t *driver, fl_image_t *image)
{
    fl_image_call_t call = {.image = image};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_stop_responding, &call);
}

/* ---- rejection and loss ---- */

static int64_t fl_image_call_reject(void *argument)
{
    fl_image_call_t *call = argument;
    fl_image_t *image = call->image;
    char *old = image->reject_text;
    image->reject_text = call->text;
    image->reject_length = call->text_length;
    call->text = old;
    image->is_rejected = true;
    if (image->state < FL_IMAGE_LINGER)
    {
        image->sm_due = true;
        fl_receiver_activate(image->receiver, image);
    }
    return 0;
}

int fl_image_reject(fl_driver_t *driver, fl_image_t *image, const char *reason, uint32_t length)
{
    fl_image_call_t call = {.image = image};
    if (length > FL_ERR_TEXT_LENGTH_MAX)
    {
        return fl_error(FL_EINVAL, "the reason for a rejection is %u bytes long, more than %d", length,
            FL_ERR_TEXT_LENGTH_MAX);
    }
    call.text = malloc(length + 1);
    if (NULL == call.text)
    {
        return fl_error(FL_ENOMEM, "no memory for the reason of a rejection");
    }
    memcpy(call.text, reason, length);
    call.text[length] = '\0';
    call.text_length = (int32_t)length;
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_reject, &call);
    free(call.text);
    return 0;
}

static int64_t fl_image_call_set_loss_entry(void *argument)
{
    fl_image_call_t *call = argument;
    fl_image_t *image = call->image;
    image->loss_record = call->record;
    if (NULL != call->record && image->loss_bytes > image->loss_bytes_given)
    {
        fl_loss_record_update(call->record, image->loss_bytes - image->loss_bytes_given,
            fl_clock_epoch_now(image->receiver->context->clock) / 1000000);
    }
    image->loss_bytes_given = image->loss_bytes;
    return 0;
}

int fl_image_set_loss_entry(fl_driver_t *driver, fl_image_t *image, fl_loss_record_t *record)
{
    fl_image_call_t call = {.image = image, .record = record};
    return (int)fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_set_loss_entry, &call);
}

static int64_t fl_image_call_loss(void *argument)
{
    fl_image_call_t *call = argument;
    call->bytes = call->image->loss_bytes;
    call->count = call->image->loss_count;
    call->image->loss_bytes_given = call->bytes;
    return 0;
}

int fl_image_loss(fl_driver_t *driver, fl_image_t *image, int64_t *bytes, int64_t *count)
{
    fl_image_call_t call = {.image = image};
    fl_driver_call(driver, FL_AGENT_RECEIVER, fl_image_call_loss, &call);
    *bytes = call.bytes;
    *count = call.count;
    return 0;
}
