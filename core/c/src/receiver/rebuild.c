/* What follows insertion: the end of the contiguous data, gaps, cleaning and status messages (wire 4.6, 4.8). */
#include "receiver/image.h"
#include "shm/counters.h"
#include "shm/loss_report.h"
#include "shm/term.h"

/* Move the rebuild position over what is there and look for the gap behind it. Returns whether a gap became active.
 *
 * Frame lengths in the term can be anything that a client wrote there: they never take the position beyond hwm. */
static bool fl_image_scan(fl_image_t *image, int64_t now_ns)
{
    const fl_log_t *log = image->log;
    const int64_t rebuild = image->rebuild_position;
    const int64_t ahead = image->hwm - rebuild;
    image->scan_due = false;
    if (0 == ahead)
    {
        image->loss_detector.is_open = false;
        return false;
    }
    const int32_t offset = fl_log_term_offset(log, rebuild);
    const int64_t bound = offset + (ahead < FL_IMAGE_SCAN_PER_CYCLE ? ahead : FL_IMAGE_SCAN_PER_CYCLE);
    const int32_t limit = bound < log->term_length ? (int32_t)bound : log->term_length;
    fl_gap_t gap;
    const int64_t reached =
        rebuild - offset + fl_term_gap_scan(fl_log_term(log, rebuild), log->term_length, offset, limit, &gap);
    image->rebuild_position = reached < image->hwm ? reached : image->hwm;
    if (0 == gap.length)
    {
        image->loss_detector.is_open = false;
        image->scan_due = image->rebuild_position < image->hwm;   /* goes on in the next cycle */
        return false;
    }
    return fl_loss_detector_on_gap(
        &image->loss_detector, image->receiver->context, rebuild - offset + gap.offset, gap.length, now_ns);
}

/* Count what was not counted before: gaps come in the order of positions, so one position says what was. */
static void fl_image_record_loss(fl_image_t *image, int64_t position, int64_t end)
{
    fl_driver_context_t *context = image->receiver->context;
    const int64_t bytes = end - (position > image->loss_end ? position : image->loss_end);
    if (bytes <= 0)
    {
        return;
    }
    image->loss_end = end;
    image->loss_bytes += bytes;
    image->loss_count++;
    if (NULL != image->loss_record)
    {
        /* The wall clock is read once for a loss, not in every cycle. */
        fl_loss_record_update(image->loss_record, bytes, fl_clock_epoch_now(context->clock) / 1000000);
        image->loss_bytes_given = image->loss_bytes;
    }
    else if (!image->is_loss_raised)
    {
        image->is_loss_raised = true;
        fl_object_raise(&context->events, &image->object, FL_EVENT_IMAGE_LOSS);
    }
}

static void fl_image_report_gap(fl_image_t *image, int64_t now_ns)
{
    const int64_t position = image->loss_detector.position;
    const int32_t length = image->loss_detector.length;
    fl_image_record_loss(image, position, position + length);
    if (image->is_reliable)
    {
        fl_image_send_nak(image, position, length, now_ns);
        return;
    }
    if (1 == fl_log_gap_fill(image->log, position, length))
    {
        image->receiver->sums.gap_fills++;
        image->receiver->has_sums = true;
        if (position == image->rebuild_position)
        {
            image->rebuild_position = position + length;
        }
    }
    image->scan_due = true;
}

static void fl_image_store_positions(fl_image_t *image)
{
    if (image->hwm != image->tracked_hwm)
    {
        image->tracked_hwm = image->hwm;
        fl_counter_set(image->hwm_counter, image->hwm);
    }
    if (image->rebuild_position != image->tracked_rebuild_position)
    {
        image->tracked_rebuild_position = image->rebuild_position;
        fl_counter_set(image->rebuild_counter, image->rebuild_position);
    }
}

/* Highest position that a status message may carry: what may arrive after it, half a term beyond, must be clean, and a
 * place is clean up to three terms beyond the clean position. */
static int64_t fl_image_clean_limit(const fl_image_t *image)
{
    return image->clean_position + 2 * (int64_t)image->log->term_length + image->log->term_length / 2;
}

static void fl_image_clean(fl_image_t *image)
{
    if (image->clean_position < image->clean_target)
    {
        image->clean_position =
            fl_log_clean(image->log, image->clean_position, image->clean_target, FL_IMAGE_CLEAN_PER_CYCLE);
    }
}

/* Decide whether a status message is due; cleaning comes before it moves. */
static void fl_image_schedule_sm(
    fl_image_t *image, int64_t lowest, int64_t old_rebuild, bool loss_found, int64_t now_ns)
{
    const fl_congestion_input_t input = {
        .now_ns = now_ns,
        .lowest_position = lowest,
        .next_sm_position = image->next_sm_position,
        .hwm = image->hwm,
        .rebuild_position = old_rebuild,
        .new_rebuild_position = image->rebuild_position,
        .loss_found = loss_found,
    };
    const fl_congestion_output_t output =
        image->congestion_control->ops->on_track_rebuild(image->congestion_control, &input);
    const bool is_forced = output.force_sm || output.window_length != image->next_sm_window;
    const int64_t threshold = image->next_sm_position + output.window_length / 4;
    if (output.measure_rtt)
    {
        fl_image_send_rttm(image, FL_RTTM_FLAG_REPLY, now_ns, now_ns);
    }
    if (is_forced || lowest > threshold)
    {
        image->clean_target = lowest - image->log->term_length;
    }
    fl_image_clean(image);

    const int64_t limit = fl_image_clean_limit(image);
    const int64_t position = lowest < limit ? lowest : limit;
    if (is_forced || position > threshold)
    {
        image->next_sm_position = position > image->next_sm_position ? position : image->next_sm_position;
        image->next_sm_window = output.window_length;
        image->sm_due = true;
    }
}

/* Whether nothing is left that only a look in every cycle would notice. */
static bool fl_image_is_idle(const fl_image_t *image, int64_t lowest, bool takes_data)
{
    if (image->sm_due || image->scan_due || lowest < image->rebuild_position)
    {
        return false;
    }
    return !takes_data || 0 == image->subscribers.count ||
        (!image->loss_detector.is_open && image->clean_position >= image->clean_target &&
            lowest <= image->next_sm_position + image->next_sm_window / 4);
}

int fl_image_track(fl_image_t *image, int64_t now_ns)
{
    const bool takes_data = !image->is_rejected && !image->is_revoked;
    const int64_t old_rebuild = image->tracked_rebuild_position;
    int64_t lowest = INT64_MAX;
    int work = 0;
    if (0 == image->subscribers.count)
    {
        /* Nobody reads: positions stand still but for what comes in order, and nothing is asked for (wire 4.6). */
        image->scan_due = false;
        image->loss_detector.is_open = false;
        fl_image_store_positions(image);
    }
    else
    {
        const bool loss_found = image->scan_due && fl_image_scan(image, now_ns);
        if (takes_data && fl_loss_detector_is_due(&image->loss_detector, image->receiver->context, now_ns))
        {
            fl_image_report_gap(image, now_ns);
            work++;
        }
        else if (image->loss_detector.is_open && !image->loss_detector.is_reported)
        {
            work++;   /* an agent that idles now would report the gap a thousand times too late */
        }
        fl_image_store_positions(image);
        lowest = fl_image_lowest_position(image);
        if (takes_data)
        {
            fl_image_schedule_sm(image, lowest, old_rebuild, loss_found, now_ns);
        }
    }
    if (fl_image_check_state(image, now_ns) && image->state >= FL_IMAGE_LINGER)
    {
        return work + 1;
    }
    if (image->sm_due)
    {
        work += fl_image_send_feedback(image, now_ns);
    }
    if (fl_image_is_idle(image, lowest, takes_data))
    {
        fl_receiver_deactivate(image->receiver, image);
    }
    return work;
}
