/* Small parts of fetch: token files, the container's URL, a process's program and environment. */
#ifndef RB_AWS_FETCH_PARTS_H
#define RB_AWS_FETCH_PARTS_H

#include "base/err.h"

/* The text of a token file without the white space around it; the caller frees; NULL on error. */
char *aws_token_read(const char *path, struct err *e);

/* The URL of the container's endpoint by AWS_CONTAINER_CREDENTIALS_RELATIVE_URI and _FULL_URI; NULL
 * with e->code 0 where neither is set, ERR_DENIED where keys may not be asked of it: only https,
 * loopback, and the addresses of ECS and EKS may be. The caller frees. */
char *aws_container_url(const char *relative, const char *full, struct err *e);

/* The program's absolute path, by PATH if it has no slash; NULL if there is none. */
char *aws_find_program(const char *name);

/* What a credential_process is given: PATH, HOME, USER, LOGNAME, LANG, TMPDIR and AWS_*.
 * NULL-terminated, to be freed with aws_words_free. */
char **aws_process_env(void);

#endif
