/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lodge-facts.h"

#include <elf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lodge-status.h"

#define FIELD(name) offsetof (LodgeFacts, name), sizeof (((LodgeFacts *) NULL)->name)

typedef struct
{
  const char *key;
  size_t offset;
  size_t size;
} Field;

/* metadata.yaml; the first is at the top level. */
static const Field METADATA_TOP[] = { { "architecture", FIELD (architecture) } };
static const Field METADATA_PROPERTIES[] = {
  { "description", FIELD (description) },
  { "os", FIELD (os) },
  { "release", FIELD (release) },
  { "variant", FIELD (variant) },
};
static const Field OS_RELEASE[] = {
  { "PRETTY_NAME", FIELD (description) },
  { "ID", FIELD (os) },
  { "VERSION_ID", FIELD (release) },
};

static const struct
{
  uint16_t machine;
  unsigned char elf_class;
  const char *name;
} MACHINES[] = {
  { EM_X86_64, ELFCLASS64, "x86_64" },   { EM_386, ELFCLASS32, "i686" },
  { EM_AARCH64, ELFCLASS64, "aarch64" }, { EM_ARM, ELFCLASS32, "armv7l" },
  { EM_RISCV, ELFCLASS64, "riscv64" },   { EM_PPC64, ELFCLASS64, "ppc64le" },
  { EM_S390, ELFCLASS64, "s390x" },
};

#define N(array) (sizeof (array) / sizeof *(array))

/** Stores a value of one line, without quotes and what a terminal would act on. */
static void
store (LodgeFacts *facts, const Field *field, const char *value, size_t length)
{
  char *target = (char *) facts + field->offset;
  if (*target != '\0')
    return;
  while (length > 0 && (*value == ' ' || *value == '\t'))
    value++, length--;
  while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\r'))
    length--;
  if (length >= 2 && (*value == '"' || *value == '\'') && value[length - 1] == *value)
    value++, length -= 2;
  if (length >= field->size)
    length = field->size - 1;
  for (size_t i = 0; i < length; i++)
    target[i] = (unsigned char) value[i] < 0x20 || value[i] == 0x7f ? '?' : value[i];
  target[length] = '\0';
}

static void
match (LodgeFacts *facts, const Field *fields, size_t n, const char *line, size_t length,
       char separator)
{
  const char *end = memchr (line, separator, length);
  if (end == NULL)
    return;
  size_t key_length = (size_t) (end - line);
  for (size_t i = 0; i < n; i++)
    if (strlen (fields[i].key) == key_length && memcmp (fields[i].key, line, key_length) == 0)
      store (facts, &fields[i], end + 1, length - key_length - 1);
}

static size_t
line_length (const char *text, size_t size)
{
  const char *end = memchr (text, '\n', size);
  return end != NULL ? (size_t) (end - text) : size;
}

/* Not a YAML parser, and not meant to become one: two levels of "key: value" are what every
 * image has, and a value that is written in another way is just not shown. */
void
lodge_facts_take_metadata (LodgeFacts *facts, const char *text, size_t size)
{
  bool in_properties = false;

  for (size_t at = 0; at < size;)
    {
      size_t length = line_length (text + at, size - at);
      const char *line = text + at;
      size_t indent = 0;
      while (indent < length && line[indent] == ' ')
        indent++;
      if (indent == 0 && length > 0)
        {
          in_properties = length >= 11 && memcmp (line, "properties:", 11) == 0;
          match (facts, METADATA_TOP, N (METADATA_TOP), line, length, ':');
        }
      else if (in_properties)
        match (facts, METADATA_PROPERTIES, N (METADATA_PROPERTIES), line + indent, length - indent,
               ':');
      at += length + 1;
    }
}

void
lodge_facts_take_os_release (LodgeFacts *facts, const char *text, size_t size)
{
  for (size_t at = 0; at < size;)
    {
      size_t length = line_length (text + at, size - at);
      match (facts, OS_RELEASE, N (OS_RELEASE), text + at, length, '=');
      at += length + 1;
    }
}

void
lodge_facts_take_program (LodgeFacts *facts, const void *data, size_t size)
{
  Elf32_Ehdr header; /* the first fields are the same in both classes */

  if (*facts->architecture != '\0' || size < sizeof header)
    return;
  memcpy (&header, data, sizeof header);
  if (memcmp (header.e_ident, ELFMAG, SELFMAG) != 0)
    return;
  for (size_t i = 0; i < N (MACHINES); i++)
    if (header.e_machine == MACHINES[i].machine
        && header.e_ident[EI_CLASS] == MACHINES[i].elf_class)
      snprintf (facts->architecture, sizeof facts->architecture, "%s", MACHINES[i].name);
}

static void
report (const char *key, const char *value)
{
  if (*value != '\0')
    lodge_status_result (key, "%s", value);
}

void
lodge_facts_report (const LodgeFacts *facts)
{
  report ("architecture", facts->architecture);
  report ("description", facts->description);
  report ("property.os", facts->os);
  report ("property.release", facts->release);
  report ("property.variant", facts->variant);
}
