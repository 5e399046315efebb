// Package page is the public page of an auditor, for people who look rather than read: HTML, feeds,
// badges, and the JSON behind every number.
//
// It promises that nothing on it sounds stronger than what was checked, that it reads without
// JavaScript, and that the audit store is asked a fixed number of times a minute, whoever visits.
// The same pages are served and published as static files. Connections are left to cmd/ktaudit.
package page
