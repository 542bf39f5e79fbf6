/* Error text: one buffer a thread. Set where a failure is seen; callers append. */
#ifndef FL_UTIL_ERROR_H
#define FL_UTIL_ERROR_H

#define FL_ERROR_TEXT_LENGTH 1024

/* Replace the calling thread's error text and code. Returns -code, so that a failing function can return
 * fl_error(...). */
int fl_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Set what fl_error_code tells, where the text is a transport's. */
void fl_error_set_code(int code);

/* Append to the calling thread's error text. */
void fl_error_append(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
