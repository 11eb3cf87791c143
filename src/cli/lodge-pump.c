/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-pump.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY_EOF 0x04

void
lodge_pump_init (LodgePump *pump, int from, int to)
{
  *pump = (LodgePump){ .from = from, .to = to, .escape = -1 };
  pump->buffer = g_malloc (LODGE_PUMP_SIZE);
}

static void
close_target (LodgePump *pump)
{
  if (pump->own_to && pump->to >= 0 && close (pump->to) != 0)
    pump->start = pump->end;
  pump->to = -1;
}

void
lodge_pump_clear (LodgePump *pump)
{
  close_target (pump);
  g_clear_pointer (&pump->buffer, g_free);
}

gboolean
lodge_pump_is_done (const LodgePump *pump)
{
  return pump->to < 0 || (pump->from < 0 && pump->start == pump->end);
}

void
lodge_pump_prepare (const LodgePump *pump, struct pollfd fds[2])
{
  gboolean full = pump->start < pump->end;

  fds[0] = (struct pollfd){ .fd = full || pump->to < 0 ? -1 : pump->from, .events = POLLIN };
  fds[1] = (struct pollfd){ .fd = full ? pump->to : -1, .events = POLLOUT };
}

static void
end_input (LodgePump *pump)
{
  pump->from = -1;
  if (pump->hangup_key && pump->to >= 0)
    {
      pump->buffer[0] = KEY_EOF;
      pump->start = 0;
      pump->end = 1;
    }
  else
    close_target (pump);
}

static void
read_input (LodgePump *pump)
{
  gssize n = read (pump->from, pump->buffer, LODGE_PUMP_SIZE);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n <= 0)
    {
      /* A pseudo-terminal says EIO when its last user is gone. */
      end_input (pump);
      return;
    }
  pump->start = 0;
  pump->end = (gsize) n;
  guint8 *key = pump->escape >= 0 ? memchr (pump->buffer, pump->escape, (gsize) n) : NULL;
  if (key == NULL)
    return;
  pump->escaped = TRUE;
  pump->from = -1;
  pump->end = (gsize) (key - pump->buffer);
}

static void
write_output (LodgePump *pump)
{
  gssize n = write (pump->to, pump->buffer + pump->start, pump->end - pump->start);

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return;
  if (n < 0)
    {
      pump->from = -1;
      pump->start = pump->end = 0;
      close_target (pump);
      return;
    }
  pump->start += (gsize) n;
  if (pump->start == pump->end && pump->from < 0 && !pump->hangup_key)
    close_target (pump);
}

void
lodge_pump_move (LodgePump *pump, const struct pollfd fds[2])
{
  if (fds[1].fd >= 0 && fds[1].revents != 0)
    write_output (pump);
  if (fds[0].fd >= 0 && fds[0].revents != 0)
    read_input (pump);
}
