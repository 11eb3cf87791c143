/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One file by libcurl.  Redirects are followed here rather than by curl, so that each hop passes
 * the same checks as the first address; the address that counts is the one that is connected to,
 * whatever a name resolved to before.
 *
 * One connection: what a server limits is the client, as a rule, and several make it no faster.
 */
#include "lodge-download.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lodge-address.h"
#include "lodge-config.h"
#include "lodge-io.h"
#include "lodge-status.h"

#define REDIRECTS_MAX 5
#define TRIES_MAX     8 /* of one server, as long as each brings something */
#define VALIDATOR_MAX 256
#define BUFFER_SIZE   (256l << 10)
#define LOW_SPEED     1024l
#define PROGRESS_USEC 250000
#define REDIRECT_BODY (64u << 10)
#define HEADERS_MAX   (256u << 10)

typedef enum
{
  OUTCOME_DONE,
  OUTCOME_NOT_MODIFIED,
  OUTCOME_BROKEN,  /* more may come when it is tried again */
  OUTCOME_RESTART, /* what was there is of no use and is gone */
  OUTCOME_FAILED,  /* another mirror may do better */
  OUTCOME_FATAL,
} Outcome;

typedef struct
{
  const LodgeDownload *wanted;
  LodgeDownloadResult *result;
  LodgeFail *fail;
  CURL *curl;
  GChecksum *checksum; /* of the `have` bytes */
  uint64_t have;
  uint64_t total; /* 0: not known */
  gint64 told_at;

  /* Of one response. */
  bool body_begun;
  bool refused_address;
  bool is_restart;
  bool is_encoded;
  size_t header_bytes;
  size_t ignored_bytes;
  char etag[VALIDATOR_MAX];
  char modified[VALIDATOR_MAX];
  bool has_range;
  uint64_t range_start;
  uint64_t range_total;
} Transfer;

static bool refuse (Transfer *self, const char *why, const char *nick, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

static bool
refuse (Transfer *self, const char *why, const char *nick, const char *format, ...)
{
  va_list args;
  char text[sizeof self->fail->text];

  va_start (args, format);
  g_vsnprintf (text, sizeof text, format, args);
  va_end (args);
  self->result->why = why;
  return lodge_fail (self->fail, nick, "%s", text);
}

/* ---- the file ---- */

static bool
empty_file (Transfer *self)
{
  self->have = 0;
  g_checksum_reset (self->checksum);
  if (ftruncate (self->wanted->output_fd, 0) == 0)
    return true;
  return lodge_fail_errno (self->fail, errno, "The partial download cannot be dropped");
}

/* Reads what an earlier try left, for its hash. */
static bool
take_up (Transfer *self)
{
  g_autofree unsigned char *buffer = g_malloc (BUFFER_SIZE);
  struct stat st;

  if (fstat (self->wanted->output_fd, &st) < 0 || !S_ISREG (st.st_mode))
    return lodge_fail (self->fail, "InvalidArgument", "There is no file to download to");
  while (self->have < (uint64_t) st.st_size)
    {
      ssize_t n = pread (self->wanted->output_fd, buffer, BUFFER_SIZE, (off_t) self->have);
      if (n <= 0)
        return lodge_fail_errno (self->fail, n < 0 ? errno : EIO,
                                 "The partial download cannot be read");
      g_checksum_update (self->checksum, buffer, n);
      self->have += (uint64_t) n;
    }
  return true;
}

static void
read_validator (const LodgeDownload *wanted, char out[VALIDATOR_MAX])
{
  ssize_t n
      = wanted->validator_fd >= 0 ? pread (wanted->validator_fd, out, VALIDATOR_MAX - 1, 0) : 0;

  out[MAX (n, 0)] = '\0';
}

/* Weak tags vouch for the meaning, not for the bytes. */
static void
write_validator (Transfer *self)
{
  const char *validator = self->etag[0] == '"' ? self->etag : self->modified;
  int fd = self->wanted->validator_fd;

  /* Without one the next try begins anew: no error. */
  if (fd >= 0 && ftruncate (fd, 0) == 0)
    {
      ssize_t ignored G_GNUC_UNUSED = pwrite (fd, validator, strlen (validator), 0);
    }
}

/* ---- what curl calls ---- */

static curl_socket_t
on_open_socket (void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
  Transfer *self = data;
  const struct sockaddr *target = (const struct sockaddr *) (const void *) &address->addr;

  /* A proxy is the administrator's choice; what is behind it is checked by check_host(). */
  if (!self->wanted->allow_private && self->wanted->proxy == NULL
      && !lodge_address_is_public (target))
    {
      self->refused_address = true;
      return CURL_SOCKET_BAD;
    }
  return socket (address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool
take_header (const char *line, size_t length, const char *name, char *out, size_t size)
{
  size_t name_length = strlen (name);

  if (length <= name_length || strncasecmp (line, name, name_length) != 0)
    return false;
  g_autofree char *value = g_strndup (line + name_length, length - name_length);
  g_strstrip (value);
  /* It goes into a header again, and into a line of the status. */
  for (const char *p = value; *p != '\0'; p++)
    if (*p < 0x20 || *p >= 0x7f)
      return true;
  if (strlen (value) < size)
    g_strlcpy (out, value, size);
  return true;
}

static void
take_range (Transfer *self, const char *value)
{
  unsigned long long start, end, total;

  self->has_range = sscanf (value, "bytes %llu-%llu/%llu", &start, &end, &total) == 3
                    && start <= end && end < total;
  if (self->has_range)
    {
      self->range_start = start;
      self->range_total = total;
    }
}

static size_t
on_header (char *line, size_t size, size_t n, void *data)
{
  Transfer *self = data;
  size_t length = size * n;
  char value[VALIDATOR_MAX] = "";

  self->header_bytes += length;
  if (self->header_bytes > HEADERS_MAX)
    return 0;
  if (length > 5 && strncmp (line, "HTTP/", 5) == 0)
    {
      /* A new response: "100 Continue", a proxy's answer, then the real one. */
      self->etag[0] = self->modified[0] = '\0';
      self->has_range = self->is_encoded = false;
    }
  else if (take_header (line, length, "content-range:", value, sizeof value))
    take_range (self, value);
  else if (take_header (line, length, "content-encoding:", value, sizeof value))
    self->is_encoded = value[0] != '\0' && strcasecmp (value, "identity") != 0;
  else if (!take_header (line, length, "etag:", self->etag, sizeof self->etag))
    take_header (line, length, "last-modified:", self->modified, sizeof self->modified);
  return length;
}

/* Before the first byte: does it belong where the file ends? */
static bool
begin_body (Transfer *self, long status)
{
  curl_off_t length = -1;

  if (self->is_encoded)
    return refuse (self, "status", "Download", "The server sends in an encoding nobody asked for");
  if (status == 206
      && (!self->has_range || self->range_start != self->have
          || (self->total > 0 && self->range_total != self->total)))
    {
      self->is_restart = true;
      return refuse (self, "broken", "Download", "The server resumes at a wrong place");
    }
  if (status == 200 && self->have > 0 && !empty_file (self))
    return false;
  curl_easy_getinfo (self->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  if (length > 0 && self->wanted->size > 0 && self->have + (uint64_t) length != self->wanted->size)
    return refuse (self, "size", "VerificationFailed",
                   "The file has %" G_GUINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT,
                   self->have + (uint64_t) length, self->wanted->size);
  if (length > 0)
    self->total = self->have + (uint64_t) length;
  if (self->total > self->wanted->max_bytes)
    return refuse (self, "limit", "LimitExceeded",
                   "The file is larger than the %" G_GUINT64_FORMAT " MiB that are allowed",
                   self->wanted->max_bytes >> 20);
  write_validator (self);
  return true;
}

static void
tell_progress (Transfer *self)
{
  gint64 now = g_get_monotonic_time ();

  if (now - self->told_at < PROGRESS_USEC)
    return;
  self->told_at = now;
  lodge_status_progress (self->total > 0 ? (double) self->have / (double) self->total : -1,
                         self->have, self->total, self->wanted->stage);
}

static size_t
on_body (char *bytes, size_t size, size_t n, void *data)
{
  Transfer *self = data;
  size_t length = size * n;
  long status = 0;

  curl_easy_getinfo (self->curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206)
    {
      self->ignored_bytes += length;
      return self->ignored_bytes <= REDIRECT_BODY ? length : 0;
    }
  if (!self->body_begun && !begin_body (self, status))
    return 0;
  self->body_begun = true;
  if (self->have + length > self->wanted->max_bytes
      || (self->wanted->size > 0 && self->have + length > self->wanted->size))
    {
      refuse (self, "limit", "LimitExceeded",
              "The server sends more than the %" G_GUINT64_FORMAT " bytes that were expected",
              self->wanted->size > 0 ? self->wanted->size : self->wanted->max_bytes);
      return 0;
    }
  for (size_t written = 0; written < length;)
    {
      ssize_t step
          = pwrite (self->wanted->output_fd, bytes + written, length - written, (off_t) self->have);
      if (step < 0 && errno == EINTR)
        continue;
      if (step < 0)
        {
          self->result->why = "disk";
          lodge_fail_errno (self->fail, errno, "The download cannot be written");
          return 0;
        }
      g_checksum_update (self->checksum, (const guchar *) bytes + written, step);
      self->have += (uint64_t) step;
      written += (size_t) step;
    }
  tell_progress (self);
  return length;
}

/* ---- one request ---- */

/* Behind a proxy there is no address to look at; at least one that is written out can be. */
static bool
check_host (Transfer *self, const char *host)
{
  struct sockaddr_in v4 = { .sin_family = AF_INET };
  struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
  g_autofree char *bare = g_strdup (host[0] == '[' ? host + 1 : host);
  bool is_public = strcasecmp (host, "localhost") != 0;

  g_strdelimit (bare, "]", '\0');
  if (inet_pton (AF_INET, bare, &v4.sin_addr) == 1)
    is_public = lodge_address_is_public ((const struct sockaddr *) (const void *) &v4);
  else if (inet_pton (AF_INET6, bare, &v6.sin6_addr) == 1)
    is_public = lodge_address_is_public ((const struct sockaddr *) (const void *) &v6);
  if (is_public || self->wanted->allow_private)
    return true;
  return refuse (self, "private", "Download", "%.200s is on a private network", host);
}

static bool
check_url (Transfer *self, const char *url, char **out_host)
{
  CURLU *parts = curl_url ();
  char *scheme = NULL, *host = NULL;
  bool ok = false;

  if (curl_url_set (parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK
      || curl_url_get (parts, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK
      || curl_url_get (parts, CURLUPART_HOST, &host, 0) != CURLUE_OK)
    refuse (self, "url", "Download", "The address to download from is none");
  else if (strcmp (scheme, "https") != 0
           && !(self->wanted->allow_http && strcmp (scheme, "http") == 0))
    refuse (self, "scheme", "Download", "Only https may be used, and not “%.20s”", scheme);
  else
    ok = check_host (self, host);
  if (ok)
    *out_host = g_strdup (host);
  curl_free (scheme);
  curl_free (host);
  curl_url_cleanup (parts);
  return ok;
}

static struct curl_slist *
make_headers (Transfer *self, bool is_first_url)
{
  struct curl_slist *headers = NULL;
  char validator[VALIDATOR_MAX];

  read_validator (self->wanted, validator);
  if (self->have > 0 && self->wanted->sha256 == NULL && validator[0] != '\0')
    {
      g_autofree char *line = g_strconcat ("If-Range: ", validator, NULL);
      headers = curl_slist_append (headers, line);
    }
  if (self->have == 0 && is_first_url && self->wanted->etag != NULL)
    {
      g_autofree char *line = g_strconcat ("If-None-Match: ", self->wanted->etag, NULL);
      headers = curl_slist_append (headers, line);
    }
  return headers;
}

static void
set_trust (Transfer *self)
{
  static const char *const protocols[] = { "https", "http,https" };
  const char *allowed = protocols[self->wanted->allow_http ? 1 : 0];
  struct stat st;

  curl_easy_setopt (self->curl, CURLOPT_PROTOCOLS_STR, allowed);
  curl_easy_setopt (self->curl, CURLOPT_REDIR_PROTOCOLS_STR, allowed);
  curl_easy_setopt (self->curl, CURLOPT_SSL_VERIFYPEER, 1l);
  curl_easy_setopt (self->curl, CURLOPT_SSL_VERIFYHOST, 2l);
  curl_easy_setopt (self->curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
  if (self->wanted->ca_fd >= 0 && fstat (self->wanted->ca_fd, &st) == 0 && st.st_size > 0
      && st.st_size < (1 << 20))
    {
      g_autofree char *pem = g_malloc ((gsize) st.st_size);
      ssize_t n = pread (self->wanted->ca_fd, pem, (size_t) st.st_size, 0);
      struct curl_blob blob = { .data = pem, .len = (size_t) MAX (n, 0), .flags = CURL_BLOB_COPY };
      curl_easy_setopt (self->curl, CURLOPT_CAINFO_BLOB, &blob);
      curl_easy_setopt (self->curl, CURLOPT_CAPATH, NULL);
    }
}

static void
set_up (Transfer *self, const char *url, struct curl_slist *headers)
{
  CURL *curl = self->curl;
  const LodgeDownload *wanted = self->wanted;

  curl_easy_reset (curl);
  set_trust (self);
  curl_easy_setopt (curl, CURLOPT_URL, url);
  curl_easy_setopt (curl, CURLOPT_USERAGENT, "lodge/" LODGE_VERSION);
  curl_easy_setopt (curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt (curl, CURLOPT_FOLLOWLOCATION, 0l);
  curl_easy_setopt (curl, CURLOPT_NOSIGNAL, 1l);
  /* Set, even to nothing, these keep curl from looking into the environment. */
  curl_easy_setopt (curl, CURLOPT_PROXY, wanted->proxy != NULL ? wanted->proxy : "");
  curl_easy_setopt (curl, CURLOPT_NOPROXY, "");
  curl_easy_setopt (curl, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
  curl_easy_setopt (curl, CURLOPT_CONNECTTIMEOUT_MS, wanted->connect_ms);
  curl_easy_setopt (curl, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED);
  curl_easy_setopt (curl, CURLOPT_LOW_SPEED_TIME, wanted->stall_seconds);
  curl_easy_setopt (curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) wanted->max_bytes);
  curl_easy_setopt (curl, CURLOPT_BUFFERSIZE, BUFFER_SIZE);
  curl_easy_setopt (curl, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
  curl_easy_setopt (curl, CURLOPT_OPENSOCKETDATA, self);
  curl_easy_setopt (curl, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt (curl, CURLOPT_HEADERDATA, self);
  curl_easy_setopt (curl, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt (curl, CURLOPT_WRITEDATA, self);
  if (self->have > 0)
    {
      g_autofree char *range = g_strdup_printf ("%" G_GUINT64_FORMAT "-", self->have);
      curl_easy_setopt (curl, CURLOPT_RANGE, range);
    }
}

/* curl's errors, as ours. */
static const struct
{
  CURLcode code;
  Outcome outcome;
  const char *why;
  const char *nick;
  const char *what;
} failures[] = {
  { CURLE_COULDNT_RESOLVE_HOST, OUTCOME_FAILED, "connect", "Download", "is not known to the DNS" },
  { CURLE_COULDNT_RESOLVE_PROXY, OUTCOME_FAILED, "proxy", "Download",
    "is out of reach: the proxy is not known to the DNS" },
  { CURLE_COULDNT_CONNECT, OUTCOME_FAILED, "connect", "Download", "cannot be reached" },
  { CURLE_PEER_FAILED_VERIFICATION, OUTCOME_FAILED, "tls", "VerificationFailed",
    "has no certificate that can be trusted" },
  { CURLE_SSL_CACERT_BADFILE, OUTCOME_FATAL, "ca", "VerificationFailed",
    "cannot be verified: the list of authorities is unusable" },
  { CURLE_SSL_CONNECT_ERROR, OUTCOME_FAILED, "tls", "Download", "does not speak TLS as it should" },
  { CURLE_OPERATION_TIMEDOUT, OUTCOME_FAILED, "stall", "TimedOut", "sends nothing any more" },
  { CURLE_FILESIZE_EXCEEDED, OUTCOME_FATAL, "limit", "LimitExceeded",
    "has a larger file than is allowed" },
  { CURLE_UNSUPPORTED_PROTOCOL, OUTCOME_FAILED, "scheme", "Download", "is not an https server" },
  { CURLE_PARTIAL_FILE, OUTCOME_BROKEN, "broken", "Download", "ended the transfer half-way" },
};

static Outcome
explain (Transfer *self, CURLcode code, const char *host)
{
  curl_off_t connected = 0;

  if (self->refused_address)
    {
      refuse (self, "private", "Download", "%.200s is on a private network", host);
      return OUTCOME_FAILED;
    }
  for (size_t i = 0; i < G_N_ELEMENTS (failures); i++)
    if (failures[i].code == code)
      {
        curl_easy_getinfo (self->curl, CURLINFO_CONNECT_TIME_T, &connected);
        if (code == CURLE_OPERATION_TIMEDOUT && connected == 0)
          {
            refuse (self, "connect", "Download", "The server %.200s cannot be reached", host);
            return OUTCOME_FAILED;
          }
        refuse (self, failures[i].why, failures[i].nick, "The server %.200s %s", host,
                failures[i].what);
        return failures[i].outcome;
      }
  refuse (self, "broken", "Download", "The transfer from %.200s broke off: %s", host,
          curl_easy_strerror (code));
  return OUTCOME_BROKEN;
}

static Outcome
judge_status (Transfer *self, long status, const char *host)
{
  if (status == 304)
    return OUTCOME_NOT_MODIFIED;
  if (status == 416 && self->have > 0)
    return empty_file (self) ? OUTCOME_RESTART : OUTCOME_FATAL;
  if (status == 200 || status == 206)
    {
      /* A body of no bytes never reached on_body(). */
      if (self->body_begun || (self->wanted->size == 0 && self->have == 0))
        return OUTCOME_DONE;
      refuse (self, "size", "Download", "The server %.200s sent nothing", host);
      return OUTCOME_FAILED;
    }
  refuse (self, status == 404 || status == 410 ? "missing" : "status", "Download",
          "The server %.200s answers with status %ld", host, status);
  return OUTCOME_FAILED;
}

/* @out_next: (transfer full): where the server sends us instead. */
static Outcome
request (Transfer *self, const char *url, bool is_first_url, char **out_next)
{
  g_autofree char *host = NULL;
  char *next = NULL;
  long status = 0;

  if (!check_url (self, url, &host))
    return OUTCOME_FAILED;
  struct curl_slist *headers = make_headers (self, is_first_url);
  self->body_begun = self->refused_address = self->is_restart = false;
  self->header_bytes = self->ignored_bytes = 0;
  self->etag[0] = self->modified[0] = '\0';
  self->fail->nick = NULL;
  set_up (self, url, headers);
  CURLcode code = curl_easy_perform (self->curl);
  curl_slist_free_all (headers);
  curl_easy_getinfo (self->curl, CURLINFO_RESPONSE_CODE, &status);
  if (self->fail->nick != NULL)
    {
      if (self->is_restart)
        return empty_file (self) ? OUTCOME_RESTART : OUTCOME_FATAL;
      return g_str_equal (self->fail->nick, "Download")
                     || g_str_equal (self->fail->nick, "VerificationFailed")
                 ? OUTCOME_FAILED
                 : OUTCOME_FATAL;
    }
  if (code != CURLE_OK)
    return explain (self, code, host);
  curl_easy_getinfo (self->curl, CURLINFO_REDIRECT_URL, &next);
  if (next == NULL || status / 100 != 3 || status == 304)
    return judge_status (self, status, host);
  *out_next = g_strdup (next);
  return OUTCOME_DONE;
}

static Outcome
try_once (Transfer *self, const char *url, bool is_first_url)
{
  g_autofree char *current = g_strdup (url);

  for (int i = 0; i <= REDIRECTS_MAX; i++)
    {
      g_autofree char *next = NULL;
      Outcome outcome = request (self, current, is_first_url, &next);

      if (next == NULL)
        return outcome;
      /* From https there is no way back, whatever is allowed. */
      if (g_ascii_strncasecmp (current, "https:", 6) == 0
          && g_ascii_strncasecmp (next, "https:", 6) != 0)
        {
          refuse (self, "redirect", "Download",
                  "The server sends us to an address that is not https");
          return OUTCOME_FAILED;
        }
      g_free (current);
      current = g_steal_pointer (&next);
    }
  refuse (self, "redirect", "Download", "The server sends us in circles");
  return OUTCOME_FAILED;
}

static Outcome
verify (Transfer *self)
{
  /* A checksum cannot be updated after it has been read. */
  g_autoptr (GChecksum) copy = g_checksum_copy (self->checksum);
  const char *sha256 = g_checksum_get_string (copy);

  if (self->wanted->size > 0 && self->have < self->wanted->size)
    {
      refuse (self, "broken", "Download", "The server ended the transfer half-way");
      return OUTCOME_BROKEN;
    }
  if ((self->wanted->sha256 != NULL && strcmp (sha256, self->wanted->sha256) != 0)
      || (self->wanted->size > 0 && self->have != self->wanted->size))
    {
      refuse (self, "hash", "VerificationFailed",
              "The file that was downloaded is not the one that the index describes");
      return empty_file (self) ? OUTCOME_FAILED : OUTCOME_FATAL;
    }
  self->result->size = self->have;
  g_strlcpy (self->result->sha256, sha256, sizeof self->result->sha256);
  g_strlcpy (self->result->etag, self->etag, sizeof self->result->etag);
  return OUTCOME_DONE;
}

static Outcome
try_server (Transfer *self, size_t index)
{
  Outcome outcome = OUTCOME_FAILED;
  bool restarted = false;

  for (int tries = 0; tries < TRIES_MAX; tries++)
    {
      uint64_t before = self->have;

      outcome = try_once (self, self->wanted->urls[index], index == 0);
      if (outcome == OUTCOME_DONE)
        outcome = verify (self);
      bool again = outcome == OUTCOME_BROKEN && self->have > before;
      if (outcome == OUTCOME_RESTART && !restarted)
        again = restarted = true;
      if (!again)
        break;
    }
  return outcome;
}

/* What is there already must be vouched for by a hash or by the server. */
static bool
can_resume (const Transfer *self)
{
  char validator[VALIDATOR_MAX];

  read_validator (self->wanted, validator);
  if (self->wanted->sha256 == NULL && validator[0] == '\0')
    return false;
  return self->have <= self->wanted->max_bytes
         && (self->wanted->size == 0 || self->have <= self->wanted->size);
}

static bool
transfer (Transfer *self)
{
  const LodgeDownload *wanted = self->wanted;

  if (!take_up (self) || (self->have > 0 && !can_resume (self) && !empty_file (self)))
    return false;
  if (self->have > 0 && wanted->sha256 != NULL && self->have == wanted->size
      && verify (self) == OUTCOME_DONE)
    return true;
  for (size_t i = 0; i < wanted->n_urls; i++)
    {
      if (i > 0 && self->have > 0 && wanted->sha256 == NULL && !empty_file (self))
        return false;
      switch (try_server (self, i))
        {
        case OUTCOME_DONE:
          return true;
        case OUTCOME_NOT_MODIFIED:
          self->result->not_modified = true;
          return true;
        case OUTCOME_FATAL:
          return false;
        default:
          break;
        }
    }
  return false;
}

bool
lodge_download_run (const LodgeDownload *download, LodgeDownloadResult *out_result, LodgeFail *fail)
{
  Transfer self = { .wanted = download,
                    .result = out_result,
                    .fail = fail,
                    .checksum = g_checksum_new (G_CHECKSUM_SHA256),
                    .total = download->size };
  bool ok = false;

  *out_result = (LodgeDownloadResult){ .why = "" };
  if (curl_global_init (CURL_GLOBAL_DEFAULT) != CURLE_OK || (self.curl = curl_easy_init ()) == NULL)
    lodge_fail (fail, "HelperFailed", "libcurl cannot be used");
  else
    ok = transfer (&self);
  if (self.curl != NULL)
    curl_easy_cleanup (self.curl);
  g_checksum_free (self.checksum);
  return ok;
}
