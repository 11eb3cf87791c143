/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lodge-request.h"

#define LODGE_DOWNLOAD_MIRRORS 8

/** What a download is to be; strings are borrowed. */
typedef struct
{
  const char *urls[LODGE_DOWNLOAD_MIRRORS]; /* the same file; tried in this order */
  size_t n_urls;
  int output_fd;    /* what it holds is the beginning of an earlier try */
  int validator_fd; /* a small file with the ETag or the date of that beginning; -1: none */
  int ca_fd;        /* PEM of whom to trust; -1: the system's authorities */
  const char *sha256;
  const char *etag;  /* of what the caller has: not fetched again; or NULL */
  const char *proxy; /* or NULL: none, whatever the environment says */
  const char *stage; /* for progress */
  uint64_t size;     /* expected; 0: not known */
  uint64_t max_bytes;
  long connect_ms;
  long stall_seconds; /* with less than 1 KiB a second for so long it is given up */
  bool allow_http;
  bool allow_private; /* loopback, private and link-local addresses */
} LodgeDownload;

typedef struct
{
  bool not_modified;
  uint64_t size;
  char sha256[65];
  char etag[256];  /* "" when there is none */
  const char *why; /* for a hint, when it failed: "connect", "tls", "stall", …; static */
} LodgeDownloadResult;

/**
 * lodge_download_run:
 *
 * Fetches to @output_fd, resuming what is there when that is sound: a validator or an expected
 * hash must vouch for it.  On failure what has come stays for the next try, unless it has proved
 * to be wrong.  Writes progress.  Nicks: Download, TimedOut, VerificationFailed, LimitExceeded,
 * NoSpace.
 */
bool lodge_download_run (const LodgeDownload *download, LodgeDownloadResult *out_result,
                         LodgeFail *fail);
