/*
 * serve - the supervisor: starts the three daemons, introduces their roles to
 * one another (it routes sockets and reads no message between roles), starts
 * a daemon again when it dies, stops them in order.
 */
#ifndef SERVE_H
#define SERVE_H

int cmd_serve(int argc, char **argv);
int cmd_check(int argc, char **argv);

#endif
