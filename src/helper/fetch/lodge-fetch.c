/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lodge-fetch: downloads, and reads what image servers say they have.
 *
 *   op=get        url=… (repeated: mirrors)  fd.output  [fd.validator]  [fd.ca]  [sha256=]  [size=]
 *                 [max-bytes=]  [etag=]  [proxy=]  [allow-http=1]  [allow-private=1]
 *                 [connect-ms=]  [stall-seconds=]  [stage=]
 *     results: size, sha256, etag; or not-modified.  When it failed: why, a word.
 *   op=index      fd.input (index.json)  [fd.keyring: then it is index.sjson]
 *     results: path.0 …, updated (seconds since 1970; 0: not known)
 *   op=products   fd.input (a document of products)  fd.output (gets lines)  [fd.keyring]
 *     results: products, images, updated
 *
 * `get` has the network but runs as nobody and parses HTTP only; the other two have no network.
 */
#include <grp.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-download.h"
#include "lodge-io.h"
#include "lodge-sandbox.h"
#include "lodge-signature.h"
#include "lodge-status.h"
#include "lodge-streams.h"
#include "lodge/lodge-helper-protocol.h"

#define NOBODY        65534
#define DEFAULT_MAX   (64ll << 30)
#define CONNECT_MS    10000
#define STALL_SECONDS 30

typedef int (*OperationFunc) (const LodgeRequest *request);

typedef struct
{
  const LodgeRequest *request;
  OperationFunc run;
} Operation;

static long long
get_number (const LodgeRequest *request, const char *key, long long max, long long fallback)
{
  long long value;

  return lodge_request_get_number (request, key, 0, max, &value, NULL) ? value : fallback;
}

/* ---- get ---- */

static bool
read_download (const LodgeRequest *request, LodgeDownload *out, LodgeFail *fail)
{
  const char *stage = lodge_request_get (request, "stage");

  *out = (LodgeDownload){
    .output_fd = lodge_request_get_fd (request, "output"),
    .validator_fd = lodge_request_get_fd (request, "validator"),
    .ca_fd = lodge_request_get_fd (request, "ca"),
    .sha256 = lodge_request_get (request, "sha256"),
    .etag = lodge_request_get (request, "etag"),
    .proxy = lodge_request_get (request, "proxy"),
    .stage = stage != NULL ? stage : "downloading",
    .size = (uint64_t) get_number (request, "size", INT64_MAX, 0),
    .max_bytes = (uint64_t) get_number (request, "max-bytes", INT64_MAX, DEFAULT_MAX),
    .connect_ms = (long) get_number (request, "connect-ms", 600000, CONNECT_MS),
    .stall_seconds = (long) get_number (request, "stall-seconds", 3600, STALL_SECONDS),
    .allow_http = get_number (request, "allow-http", 1, 0) == 1,
    .allow_private = get_number (request, "allow-private", 1, 0) == 1,
  };
  for (const char *url = lodge_request_get (request, "url");
       url != NULL && out->n_urls < LODGE_DOWNLOAD_MIRRORS;
       url = lodge_request_next (request, "url", url))
    out->urls[out->n_urls++] = url;
  if (out->n_urls == 0 || out->output_fd < 0)
    return lodge_fail (fail, "InvalidArgument", "There is nothing to download, or nowhere to");
  return true;
}

/* The sandbox's root is nobody outside, but has capabilities inside: curl needs neither. */
static bool
become_nobody (LodgeFail *fail)
{
  /* The change of the user clears the death signal. */
  if (setgroups (0, NULL) == 0 && setresgid (NOBODY, NOBODY, NOBODY) == 0
      && setresuid (NOBODY, NOBODY, NOBODY) == 0 && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
      && prctl (PR_SET_PDEATHSIG, SIGKILL) == 0)
    return true;
  return lodge_fail (fail, "HelperFailed", "The download cannot give up its rights");
}

static int
get (const LodgeRequest *request)
{
  LodgeDownload download;
  LodgeDownloadResult result = { .why = "" };
  LodgeFail fail = { 0 };

  if (!become_nobody (&fail) || !read_download (request, &download, &fail)
      || !lodge_download_run (&download, &result, &fail))
    {
      if (result.why != NULL && *result.why != '\0')
        lodge_status_result ("why", "%s", result.why);
      return lodge_status_fail (&fail);
    }
  if (result.not_modified)
    lodge_status_result ("not-modified", "1");
  else
    {
      lodge_status_result ("size", "%" G_GUINT64_FORMAT, result.size);
      lodge_status_result ("sha256", "%s", result.sha256);
      if (result.etag[0] != '\0')
        lodge_status_result ("etag", "%s", result.etag);
    }
  return 0;
}

/* ---- index, products ---- */

typedef struct
{
  char *data;
  gsize size;
} Document;

static void
document_clear (Document *document)
{
  g_clear_pointer (&document->data, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Document, document_clear)

/* All of it; where there is a keyring, only what has been signed by one of its keys. */
static bool
read_document (const LodgeRequest *request, gsize max, Document *out, LodgeFail *fail)
{
  int fd = lodge_request_get_fd (request, "input");
  int keyring_fd = lodge_request_get_fd (request, "keyring");
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (fail, "InvalidArgument", "There is no document to read");
  if ((guint64) st.st_size > max)
    return lodge_fail (fail, "LimitExceeded", "The server's list is larger than %zu MiB",
                       max >> 20);
  g_autofree char *data = g_malloc ((gsize) st.st_size + 1);
  gsize size = 0;
  while (size < (gsize) st.st_size)
    {
      ssize_t n = pread (fd, data + size, (gsize) st.st_size - size, (off_t) size);
      if (n <= 0)
        break;
      size += (gsize) n;
    }
  data[size] = '\0';
  if (keyring_fd >= 0)
    return lodge_signature_open (keyring_fd, data, size, &out->data, &out->size, fail);
  out->data = g_steal_pointer (&data);
  out->size = size;
  return true;
}

static int
read_index (const LodgeRequest *request)
{
  g_auto (LodgeStreamsIndex) index = { 0 };
  g_auto (Document) document = { 0 };
  LodgeFail fail = { 0 };

  if (!read_document (request, LODGE_STREAMS_INDEX_MAX, &document, &fail)
      || !lodge_streams_read_index (document.data, document.size, &index, &fail))
    return lodge_status_fail (&fail);
  for (gsize i = 0; index.paths[i] != NULL; i++)
    {
      char key[16];
      g_snprintf (key, sizeof key, "path.%zu", i);
      lodge_status_result (key, "%s", index.paths[i]);
    }
  lodge_status_result ("updated", "%" G_GINT64_FORMAT, index.updated);
  return 0;
}

static int
read_products (const LodgeRequest *request)
{
  g_autoptr (GString) lines = g_string_new (NULL);
  g_auto (Document) document = { 0 };
  LodgeStreamsSummary summary = { 0 };
  LodgeFail fail = { 0 };
  int output = lodge_request_get_fd (request, "output");

  if (output < 0)
    lodge_fail (&fail, "InvalidArgument", "There is nowhere to write the list to");
  if (output < 0 || !read_document (request, LODGE_STREAMS_PRODUCTS_MAX, &document, &fail)
      || !lodge_streams_read_products (document.data, document.size, lines, &summary, &fail))
    return lodge_status_fail (&fail);
  int error = lodge_io_write_all (output, lines->str, lines->len);
  if (error < 0)
    {
      lodge_fail_errno (&fail, error, "The list of images cannot be written");
      return lodge_status_fail (&fail);
    }
  lodge_status_result ("products", "%u", summary.products);
  lodge_status_result ("images", "%u", summary.images);
  lodge_status_result ("updated", "%" G_GINT64_FORMAT, summary.updated);
  return 0;
}

/* ---- main ---- */

static const struct
{
  const char *name;
  OperationFunc run;
  bool network;
} operations[] = {
  { "get", get, true },
  { "index", read_index, false },
  { "products", read_products, false },
};

static int
run_in_sandbox (gpointer data)
{
  const Operation *operation = data;

  return operation->run (operation->request);
}

static int
run (const LodgeRequest *request, OperationFunc func, bool network)
{
  Operation operation = { request, func };
  /* Names are resolved by what the host has set up, and gpgv is a program of the host. */
  LodgeSandbox sandbox
      = { .idmap_base = LODGE_SANDBOX_IDMAP_BASE,
          .idmap_count = LODGE_SANDBOX_IDMAP_COUNT,
          .staging_fd = -1,
          .network = network,
          .host_tools = network || lodge_request_get_fd (request, "keyring") >= 0 };
  LodgeFail fail = { 0 };
  int status = 1;

  if (lodge_sandbox_run (&sandbox, run_in_sandbox, &operation, &status, &fail) && status > 1)
    lodge_fail (&fail, "HelperFailed", "The download was ended by signal %d", status - 128);
  if (fail.nick != NULL)
    return lodge_status_fail (&fail);
  if (status == 0)
    lodge_status_done ();
  return status;
}

int
main (void)
{
  LodgeRequest request;
  LodgeFail fail = { 0 };

  /* Proxies, authorities, and the configuration of OpenSSL are not to come from whoever started
   * the service. */
  clearenv ();
  /* Nobody would take up what a download of a service that has ended brings. */
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  setenv ("PATH", "/usr/bin:/bin", 1);
  setlocale (LC_CTYPE, "C.UTF-8");
  if (!lodge_request_read (&request, LODGE_HELPER_REQUEST_FD, &fail)
      || !lodge_request_apply_limits (&request, &fail))
    return lodge_status_fail (&fail);
  const char *op = lodge_request_get (&request, "op");
  for (gsize i = 0; op != NULL && i < G_N_ELEMENTS (operations); i++)
    if (strcmp (operations[i].name, op) == 0)
      return run (&request, operations[i].run, operations[i].network);
  lodge_fail (&fail, "InvalidArgument", "lodge-fetch has no such operation");
  return lodge_status_fail (&fail);
}
