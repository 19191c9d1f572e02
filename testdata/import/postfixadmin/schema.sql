-- The tables of PostfixAdmin 3.3 as far as they are read, with its defaults. @BOOL@, @YES@, @NO@ and @TIME@ are what its
-- installation puts there for each engine; "quoted" names are written as the engine quotes them.
CREATE TABLE "admin" (
    "username" varchar(255) NOT NULL PRIMARY KEY, "password" varchar(255) NOT NULL,
    "superadmin" @BOOL@ NOT NULL DEFAULT @NO@, "active" @BOOL@ NOT NULL DEFAULT @YES@
);
CREATE TABLE "domain" (
    "domain" varchar(255) NOT NULL PRIMARY KEY, "description" varchar(255) NOT NULL DEFAULT '',
    "aliases" integer NOT NULL DEFAULT 0, "mailboxes" integer NOT NULL DEFAULT 0,
    "maxquota" bigint NOT NULL DEFAULT 0, "quota" bigint NOT NULL DEFAULT 0,
    "transport" varchar(255) DEFAULT NULL, "backupmx" @BOOL@ NOT NULL DEFAULT @NO@,
    "created" @TIME@, "modified" @TIME@, "active" @BOOL@ NOT NULL DEFAULT @YES@, "password_expiry" integer DEFAULT 0
);
CREATE TABLE "domain_admins" (
    "username" varchar(255) NOT NULL, "domain" varchar(255) NOT NULL, "created" @TIME@,
    "active" @BOOL@ NOT NULL DEFAULT @YES@
);
CREATE TABLE "alias" (
    "address" varchar(255) NOT NULL PRIMARY KEY, "goto" text NOT NULL, "domain" varchar(255) NOT NULL,
    "created" @TIME@, "modified" @TIME@, "active" @BOOL@ NOT NULL DEFAULT @YES@
);
CREATE TABLE "alias_domain" (
    "alias_domain" varchar(255) NOT NULL PRIMARY KEY, "target_domain" varchar(255) NOT NULL,
    "created" @TIME@, "modified" @TIME@, "active" @BOOL@ NOT NULL DEFAULT @YES@
);
CREATE TABLE "mailbox" (
    "username" varchar(255) NOT NULL PRIMARY KEY, "password" varchar(255) NOT NULL DEFAULT '',
    "name" varchar(255) NOT NULL DEFAULT '', "maildir" varchar(255) NOT NULL DEFAULT '',
    "quota" bigint NOT NULL DEFAULT 0, "local_part" varchar(255) NOT NULL, "domain" varchar(255) NOT NULL,
    "created" @TIME@, "modified" @TIME@, "active" @BOOL@ NOT NULL DEFAULT @YES@,
    "phone" varchar(30) NOT NULL DEFAULT '', "email_other" varchar(255) NOT NULL DEFAULT '',
    "token" varchar(255) NOT NULL DEFAULT '', "token_validity" @TIME@, "password_expiry" @TIME@
);
CREATE TABLE "vacation" (
    "email" varchar(255) NOT NULL PRIMARY KEY, "subject" varchar(255) NOT NULL, "body" text NOT NULL,
    "activefrom" @TIME@, "activeuntil" @TIME@, "domain" varchar(255) NOT NULL,
    "interval_time" integer NOT NULL DEFAULT 0, "created" @TIME@, "active" @BOOL@ NOT NULL DEFAULT @YES@
);
CREATE TABLE "vacation_notification" (
    "on_vacation" varchar(255) NOT NULL, "notified" varchar(255) NOT NULL, "notified_at" timestamp DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY ("on_vacation", "notified")
);
CREATE TABLE "fetchmail" (
    "mailbox" varchar(255) NOT NULL, "src_server" varchar(255) NOT NULL, "poll_time" integer NOT NULL DEFAULT 10,
    "active" @BOOL@ NOT NULL DEFAULT @NO@
);
