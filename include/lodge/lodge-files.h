/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdint.h>

/*
 * The protocol of a file session (org.lodge1.Instance.OpenFiles).
 *
 * A session is a SOCK_SEQPACKET socket.  The client sends one request a packet and gets one
 * reply or, for LIST, several (the last has LODGE_FILES_END).  Requests are answered in
 * order, so a client may send up to 64 before it reads (more could fill both directions of the
 * socket, and each side would wait for the other).  The same protocol is served by
 * lodge-enter (containers, running or not), by lodged for the agent of a running VM, and by
 * lodge-image-worker (libguestfs) for a stopped VM.
 *
 * Bytes of files never travel on the socket: for PUT and GET the client passes its own file
 * (SCM_RIGHTS, exactly one) and the server copies, inside the guest's namespaces.  The
 * server never follows a symbolic link out of the guest's root, and it opens only regular
 * files (O_NONBLOCK, fstat), so that a FIFO or a device cannot hang it.
 *
 * To end a session the client shuts its end down for writing and reads until the end of the file:
 * that comes when the server is done with the instance, so that it can be started at once.  What
 * went wrong in the end, such as writes that did not reach a disk, comes before it as a reply with
 * an error.  A client that just closes its end has no promise of either.
 *
 * All integers are in host byte order: both ends are on one host.
 */

#define LODGE_FILES_VERSION  1
#define LODGE_FILES_PATH_MAX 4096
/* Requests and replies fit into one packet of this size. */
#define LODGE_FILES_PACKET_MAX 16384

typedef enum
{
  LODGE_FILES_STAT = 1, /* path; does not follow a link at the end */
  LODGE_FILES_LIST,     /* path of a directory; one reply each entry, name in `text` */
  LODGE_FILES_GET,      /* path + fd: copies the file into fd; the reply has its attributes */
  LODGE_FILES_PUT,      /* path + fd: replaces the file (new inode, renamed into place) */
  LODGE_FILES_MKDIR,    /* path; an existing directory is no error, its attributes are kept */
  LODGE_FILES_SYMLINK,  /* path, target in `extra`; replaces a link, refuses anything else */
  LODGE_FILES_REMOVE,   /* path: a file, a link or an empty directory */
} LodgeFilesOp;

/* In `flags` of a request. */
#define LODGE_FILES_MAKE_PARENTS (1u << 0) /* PUT, MKDIR: create missing parents, 0755 root */
#define LODGE_FILES_SET_OWNER    (1u << 1) /* uid and gid count; else root, or as it was */
#define LODGE_FILES_SET_MODE     (1u << 2) /* mode counts; else 0644 or 0755, or as it was */
#define LODGE_FILES_FOLLOW       (1u << 3) /* STAT, GET: follow a link at the end, inside the root */
#define LODGE_FILES_SET_MTIME    (1u << 4)

/* In `flags` of a reply. */
#define LODGE_FILES_END (1u << 0) /* LIST: no more entries; this packet carries none */

typedef struct
{
  uint32_t version; /* LODGE_FILES_VERSION */
  uint32_t op;
  uint32_t flags;
  uint32_t uid, gid, mode;
  int64_t mtime;      /* seconds */
  uint16_t path_len;  /* bytes of path that follow, without NUL; absolute, in the guest */
  uint16_t extra_len; /* bytes of extra that follow it */
  uint32_t reserved;
} LodgeFilesRequest;

typedef enum
{
  LODGE_FILES_TYPE_OTHER, /* device, FIFO, socket: listed, never copied */
  LODGE_FILES_TYPE_FILE,
  LODGE_FILES_TYPE_DIR,
  LODGE_FILES_TYPE_SYMLINK,
} LodgeFilesType;

typedef struct
{
  uint32_t version;
  uint32_t flags;
  int32_t error;     /* 0, or an errno value; then `text` is a sentence for people */
  uint32_t type;     /* LodgeFilesType */
  uint32_t uid, gid, mode;
  uint16_t text_len; /* LIST: name of the entry; error: message */
  uint16_t link_len; /* target of a symbolic link */
  uint64_t size;
  int64_t mtime;
} LodgeFilesReply;
