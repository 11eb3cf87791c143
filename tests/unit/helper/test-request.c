/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-request.h"

#include "lodge/lodge-helper-protocol.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ALL_SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int
make_request (const char *data, gsize size, int seals)
{
  int fd = memfd_create ("request", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (write (fd, data, size), ==, size);
  g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);
  return fd;
}

static void
test_records (void)
{
  static const char data[] = "op=exec\0arg=a b\0env=A=1=2\0arg=\0argument=no\0number=12";
  LodgeRequest request;
  LodgeFail fail = { 0 };
  long long number = -1;

  g_assert_true (lodge_request_read (&request, make_request (data, sizeof data, ALL_SEALS), &fail));
  g_assert_cmpstr (lodge_request_get (&request, "op"), ==, "exec");
  g_assert_cmpstr (lodge_request_get (&request, "env"), ==, "A=1=2");
  g_assert_null (lodge_request_get (&request, "ar"));
  g_assert_cmpuint (lodge_request_count (&request, "arg"), ==, 2);

  const char *arg = lodge_request_next (&request, "arg", NULL);
  g_assert_cmpstr (arg, ==, "a b");
  arg = lodge_request_next (&request, "arg", arg);
  g_assert_cmpstr (arg, ==, "");
  g_assert_null (lodge_request_next (&request, "arg", arg));

  g_assert_true (lodge_request_get_number (&request, "number", 0, 12, &number, &fail));
  g_assert_cmpint (number, ==, 12);
  g_assert_false (lodge_request_get_number (&request, "number", 0, 11, &number, &fail));
  g_assert_cmpstr (fail.nick, ==, "InvalidArgument");
  g_assert_nonnull (strstr (fail.text, "number"));
  g_assert_false (lodge_request_get_number (&request, "absent", 0, 11, &number, &fail));
  g_assert_cmpint (lodge_request_get_fd (&request, "number"), ==, -1);
}

static void
test_descriptors (void)
{
  static const char data[] = "fd.ok=5\0fd.low=4\0fd.text=5x\0fd.big=99999999999";
  LodgeRequest request;
  LodgeFail fail = { 0 };

  g_assert_true (lodge_request_read (&request, make_request (data, sizeof data, ALL_SEALS), &fail));
  g_assert_cmpint (lodge_request_get_fd (&request, "ok"), ==, LODGE_HELPER_FIRST_FD);
  g_assert_cmpint (lodge_request_get_fd (&request, "low"), ==, -1);
  g_assert_cmpint (lodge_request_get_fd (&request, "text"), ==, -1);
  g_assert_cmpint (lodge_request_get_fd (&request, "big"), ==, -1);
}

static void
assert_refused (int fd)
{
  LodgeRequest request;
  LodgeFail fail = { 0 };

  g_assert_false (lodge_request_read (&request, fd, &fail));
  g_assert_cmpstr (fail.nick, ==, "InvalidArgument");
  close (fd);
}

static void
test_refused (void)
{
  g_autofree char *large = g_malloc0 (LODGE_HELPER_REQUEST_MAX + 1);

  assert_refused (make_request ("op=x", 5, 0));
  assert_refused (make_request ("op=x", 5, F_SEAL_WRITE));
  assert_refused (make_request ("", 0, ALL_SEALS));
  assert_refused (make_request ("op=x", 4, ALL_SEALS));
  assert_refused (make_request (large, LODGE_HELPER_REQUEST_MAX + 1, ALL_SEALS));
  assert_refused (open ("/dev/null", O_RDONLY));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/helper/request/records", test_records);
  g_test_add_func ("/helper/request/descriptors", test_descriptors);
  g_test_add_func ("/helper/request/refused", test_refused);
  return g_test_run ();
}
