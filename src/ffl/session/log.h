/* One line on stderr, "freeflow: ...". What is said is chosen by FREEFLOW_LOG: error, warn (default), info or debug. */
#ifndef FFL_LOG_H
#define FFL_LOG_H

enum ff_log_level {
	FF_LOG_ERROR, /* the device cannot be used */
	FF_LOG_WARN,  /* a verb failed for a reason that its errno does not tell */
	FF_LOG_INFO,  /* verbs that answer EOPNOTSUPP, sessions that come and go */
	FF_LOG_DEBUG, /* each command */
};

/* Leaves errno as it was, so that a verb may log between setting it and returning. */
void ff_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
