/* A static route table in JSON, for running the edge without a store (tests, measuring):
 * {"apps":[{"id":"a1","name":"hello","hosts":["hello.ward.localhost"],"force_https":true,"port":8080,"unhealthy":0,"resting":0,
 *           "plain":true,"machines":[{"id":"m1","ipv4":"127.0.0.1","port":8080,"soft":0,"hard":0}]}]}
 */
#pragma once
#include "proto/route_table.h"

int table_file_read(const char *path, uint64_t serial, struct buf *ret, struct err *e) must_check;
