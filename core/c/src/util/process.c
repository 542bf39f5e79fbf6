#include "api/common.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

void fl_process_end_with(int parent_id, int signal_number)
{
    prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0);
    /* A parent that ended before this was set tells nobody. */
    if (getppid() != parent_id)
    {
        kill(getpid(), signal_number);
    }
}
