/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-request.h"

#include "lodge-io.h"
#include "lodge/lodge-helper-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const struct
{
  const char *key;
  int resource;
} limits[] = {
#ifndef __SANITIZE_ADDRESS__ /* which reserves terabytes of addresses */
  { "limit.as", RLIMIT_AS },
#endif
  { "limit.cpu", RLIMIT_CPU },
  { "limit.fsize", RLIMIT_FSIZE },
  { "limit.nofile", RLIMIT_NOFILE },
};

bool
lodge_request_read (LodgeRequest *out_request, int fd, LodgeFail *fail)
{
  const int wanted = F_SEAL_WRITE | F_SEAL_SHRINK;
  int seals = fcntl (fd, F_GET_SEALS);
  struct stat st;
  char *data;

  /* Without the seals the sender could change what has been checked, or make us take SIGBUS. */
  if (seals < 0 || (seals & wanted) != wanted)
    return lodge_fail (fail, "InvalidArgument", "The request is not a sealed memory file");
  if (fstat (fd, &st) < 0)
    return lodge_fail_errno (fail, errno, "Cannot examine the request");
  if (st.st_size <= 0 || st.st_size > LODGE_HELPER_REQUEST_MAX)
    return lodge_fail (fail, "InvalidArgument", "The request has a wrong size");

  data = mmap (NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED)
    return lodge_fail_errno (fail, errno, "Cannot map the request");
  if (data[st.st_size - 1] != '\0')
    {
      munmap (data, (size_t) st.st_size);
      return lodge_fail (fail, "InvalidArgument", "The last record of the request has no end");
    }
  close (fd);
  out_request->data = data;
  out_request->size = (size_t) st.st_size;
  return true;
}

const char *
lodge_request_next (const LodgeRequest *request, const char *key, const char *previous)
{
  const char *end = request->data + request->size;
  const char *record = previous ? previous + strlen (previous) + 1 : request->data;
  size_t length = strlen (key);

  for (; record < end; record += strlen (record) + 1)
    if (strncmp (record, key, length) == 0 && record[length] == '=')
      return record + length + 1;
  return NULL;
}

const char *
lodge_request_get (const LodgeRequest *request, const char *key)
{
  return lodge_request_next (request, key, NULL);
}

size_t
lodge_request_count (const LodgeRequest *request, const char *key)
{
  size_t count = 0;

  for (const char *value = lodge_request_get (request, key); value;
       value = lodge_request_next (request, key, value))
    count++;
  return count;
}

bool
lodge_request_get_number (const LodgeRequest *request, const char *key, long long min,
                          long long max, long long *out_value, LodgeFail *fail)
{
  const char *value = lodge_request_get (request, key);

  if (lodge_io_parse_number (value, min, max, out_value))
    return true;
  if (!fail)
    return false;
  return lodge_fail (fail, "InvalidArgument", "The request's field “%s” is %s", key,
                     value ? "not a number in its range" : "missing");
}

int
lodge_request_get_fd (const LodgeRequest *request, const char *name)
{
  char key[64];
  long long fd;

  snprintf (key, sizeof key, "fd.%s", name);
  if (!lodge_request_get_number (request, key, LODGE_HELPER_FIRST_FD, INT_MAX, &fd, NULL))
    return -1;
  return (int) fd;
}

/* The scheduler of the disk takes its priority from that of the processor. */
static bool
apply_priority (const LodgeRequest *request, LodgeFail *fail)
{
  long long nice;

  if (!lodge_request_get (request, "nice"))
    return true;
  if (!lodge_request_get_number (request, "nice", 0, 19, &nice, fail))
    return false;
  if (setpriority (PRIO_PROCESS, 0, (int) nice) < 0)
    return lodge_fail_errno (fail, errno, "Cannot set the priority");
  return true;
}

bool
lodge_request_apply_limits (const LodgeRequest *request, LodgeFail *fail)
{
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
    {
      struct rlimit limit;
      long long value;

      if (!lodge_request_get (request, limits[i].key))
        continue;
      if (!lodge_request_get_number (request, limits[i].key, 0, LLONG_MAX, &value, fail))
        return false;
      limit.rlim_cur = limit.rlim_max = (rlim_t) value;
      if (setrlimit (limits[i].resource, &limit) < 0)
        return lodge_fail_errno (fail, errno, "Cannot set “%s”", limits[i].key);
    }
  return apply_priority (request, fail);
}
