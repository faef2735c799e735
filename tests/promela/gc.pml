/* The protocol of registry/content/leases.py as a model: who may delete what, while everybody pushes.

   One digest, two repositories, one writer for each, collectors one after the other. A step is one read or write of the storage; every
   process may be killed between any two. A writer may delete what it has pushed. What time does is in four places: FRESH
   is a link and RECORD a deletion younger than the grace period; a lease runs out, and an intent expires, only when whoever held it is dead. See docs/garbage-collection.md.

   -DKILLS=n       so many processes are killed, anywhere
   -DZERO_GRACE    no link is ever fresh: a push may have to begin again, and must still never be acknowledged broken
   -DRESTORES      one writer alone, which restores what it has deleted: in time, or too late, or never
   -DMUTANT=n      one step is left out; each of these must lead to a violation (see test_promela.py)          */

#ifndef MUTANT
#define MUTANT 0
#endif
#define NO_PHASE        1 /* a writer takes it that nobody collects */
#define NO_TOUCH        2 /* a writer does not say what it relies on */
#define NO_REVIVE       3 /* a writer does not take out what is condemned */
#define NO_WAIT         4 /* a writer does not wait for a removal that has begun */
#define NO_LINK_LOOK    5 /* a writer does not look whether a removal took the link that it has just written */
#define NO_LOOK         6 /* the collector does not look at what was touched after it has condemned */
#define NO_INTENTS      7 /* the collector does not look at intents */
#define MARK_FIRST      8 /* the collector looks for needs before it says that it is at work */
#define BLIND_CLAIM     9 /* the collector claims without comparing: it does not see what was taken out */
#define CHECK_FIRST    10 /* a manifest push checks what it needs before it says that it needs it */
#define BYTES_FIRST    11 /* a blob push lets the bytes appear before the link */
#define NO_CLAIM       12 /* the collector removes what is only condemned */
#define INTENT_TOO_SOON 13 /* a manifest push takes its intent back before the manifest is there */
#define TWO_COLLECTORS 14 /* a collector does not ask whether another one is at work */
#define RECORD_LAST    15 /* who deletes a manifest takes the link away before it writes the record */
#define RECORDS_FIRST  16 /* the collector reads records of deletions before manifests */
#define NO_RECORDS     17 /* the collector does not look at records of deletions */
#define BLIND_RESTORE  18 /* who restores does not look whether what the manifest needs is there */
#define SILENT_RESTORE 19 /* who restores does not say, before it looks, that it needs it */
#define STOP_TOO_SOON  20 /* a collector that is stopped gives up what it has claimed, and is still removing it */

#define R 2
#ifndef KILLS
#define KILLS 1
#endif
#define ABSENT 0
#define CLEAR 1 /* the shard is there, without the digest */
#define CONDEMNED 2
#define CLAIMED 3

bool bytes;
bool linked[R], fresh[R], manifest[R], acknowledged[R];
bool record[R];     /* there, and younger than the grace period */
bool restorable[R]; /* what was promised to whoever has deleted it */
bool intent[R], dead[R];
bool touched;
byte shard = ABSENT;
bool at_work;
bool collector_dead;

#define needs_whole(r) assert(!(acknowledged[r] || restorable[r]) || (bytes && linked[r]))

inline link(r) { d_step { linked[r] = true;
#ifndef ZERO_GRACE
    fresh[r] = true;
#endif
    } }

/* steps 2 to 4 of a writer */
inline rely() {
    if
    :: MUTANT != NO_PHASE && at_work ->
        if :: MUTANT != NO_TOUCH -> touched = true :: else fi;
        do
        :: atomic { shard == CONDEMNED && MUTANT != NO_REVIVE -> shard = CLEAR }
        :: atomic { shard == CLAIMED && MUTANT != NO_WAIT -> skip }
end_wait:   (shard != CLAIMED) /* for ever, if no collector comes back: a client is then told to try again */
        :: atomic { (shard == ABSENT || shard == CLEAR || (shard == CONDEMNED && MUTANT == NO_REVIVE) ||
                     (shard == CLAIMED && MUTANT == NO_WAIT)) -> break }
        od
    :: else
    fi
}

/* steps 1 to 5 of a writer of a link */
inline link_and_rely(r) {
    link(r);
    rely();
    do
    :: !linked[r] && MUTANT != NO_LINK_LOOK -> link(r); rely()
    :: else -> break
    od
}

/* one repository: its manifests, its records, its links */
inline look_at(r) {
#ifdef RESTORES
    if
    :: MUTANT == RECORDS_FIRST -> dead_link[r] = !record[r]; dead_link[r] = dead_link[r] && !manifest[r]
    :: MUTANT == NO_RECORDS -> dead_link[r] = !manifest[r]
    :: else -> dead_link[r] = !manifest[r]; dead_link[r] = dead_link[r] && !record[r]
    fi;
#else
    dead_link[r] = !manifest[r];
#endif
    d_step { needed = needed || !dead_link[r] || (linked[r] && fresh[r]); dead_link[r] = dead_link[r] && !fresh[r] }
}

/* step 2 of the collector, and the look at all manifests and links */
inline look_for_needs() {
    if :: MUTANT != NO_INTENTS -> needed = intent[0]; needed = needed || intent[1] :: else fi;
    look_at(0);
    look_at(1)
}

#ifdef ZERO_GRACE
#define KEEPS false
#else
#define KEEPS true /* what is deleted is written down, and so promised */
#endif

inline delete_manifest(r) {
    acknowledged[r] = false;
#ifdef RESTORES
    if :: MUTANT != RECORD_LAST -> record[r] = KEEPS :: else fi;
    d_step { manifest[r] = false; restorable[r] = KEEPS };
    if :: MUTANT == RECORD_LAST -> record[r] = KEEPS :: else fi
#else
    manifest[r] = false
#endif
}

proctype Writer(byte me) {
    byte other = 1 - me;
    bool whole, restores, late;
    {
        /* the blob: pushed, mounted, or found there */
        if
        :: true ->
            if :: MUTANT == BYTES_FIRST -> bytes = true :: else fi;
            link_and_rely(me);
            if :: MUTANT != BYTES_FIRST -> bytes = true :: else fi;
            whole = true
        :: linked[other] && bytes ->
            link_and_rely(me);
            whole = bytes
        :: linked[me] ->
            /* HEAD: the link is written anew, if it is still there */
            atomic { if :: linked[me] -> link(me) :: else fi };
            rely();
            whole = linked[me] && bytes
        fi;
        /* the manifest, of a push or of one that restores what it has deleted */
        if
        :: whole ->
push:
            if :: MUTANT == CHECK_FIRST -> whole = linked[me] && bytes :: else fi;
#if MUTANT == SILENT_RESTORE
            if :: !restores -> intent[me] = true; rely() :: else fi;
#else
            intent[me] = true;
            rely();
#endif
            if :: MUTANT != CHECK_FIRST && !(MUTANT == BLIND_RESTORE && restores) -> whole = linked[me] && bytes :: else fi;
#ifndef ZERO_GRACE
            assert(whole || late); /* within the grace period no push has to begin again, and what was deleted comes back */
#endif
            if
            :: whole ->
                if :: MUTANT == INTENT_TOO_SOON -> intent[me] = false :: else fi;
                manifest[me] = true;
                intent[me] = false;
                d_step { acknowledged[me] = true; restorable[me] = false; needs_whole(me) };
                d_step { record[me] = false; fresh[me] = false }; /* time passes */
                if
                :: !restores ->
                    delete_manifest(me);
#ifdef RESTORES
                    restores = true;
                    if
                    :: goto push
                    :: d_step { restorable[me] = false; record[me] = false; late = true }; goto push /* time passes */
                    :: skip
                    fi
#endif
                :: skip
                fi
            :: else -> intent[me] = false
            fi
        :: else
        fi
    } unless { dead[me] };
    d_step { fresh[me] = false; restorable[me] = false; record[me] = false }
}

/* cycle after cycle; a killed collector's successor finds what it has left */
proctype Collector(byte cycles) {
    bool needed, dead_link[R], claimed;
    byte r;
    do
    :: cycles == 0 -> break
    :: else -> cycles--;
        {
#if MUTANT == MARK_FIRST
            look_for_needs();
            at_work = true;
            shard = ABSENT;
            touched = false;
#else
            at_work = true;
            shard = ABSENT; /* what a dead one has left */
            touched = false;
            look_for_needs();
#endif
            if
            :: !needed ->
                shard = CONDEMNED;
                if :: MUTANT != NO_LOOK -> needed = touched :: else fi;
                if
                :: !needed && MUTANT == NO_CLAIM -> claimed = true
                :: !needed && MUTANT == BLIND_CLAIM -> shard = CLAIMED; claimed = true
                :: else ->
                    if
                    :: atomic { if :: !needed && shard == CONDEMNED -> shard = CLAIMED; claimed = true :: else fi }
                    :: true /* stopped */
                    fi
                fi;
                if
                :: claimed ->
                    if :: MUTANT == STOP_TOO_SOON -> shard = ABSENT; at_work = false :: else fi;
                    if :: dead_link[0] -> atomic { linked[0] = false; needs_whole(0) } :: else fi;
                    if :: dead_link[1] -> atomic { linked[1] = false; needs_whole(1) } :: else fi;
                    atomic { bytes = false; needs_whole(0); needs_whole(1) }
                :: else
                fi;
                shard = ABSENT
            :: true -> skip /* nothing goes, or stopped */
            fi;
            at_work = false
        } unless { collector_dead };
        d_step { collector_dead = false; needed = false; claimed = false; dead_link[0] = false; dead_link[1] = false }
    od
}

/* kills, and what time does to what the killed have left */
proctype World() {
    byte kills;
    do
    :: kills < KILLS -> atomic { kills++; if :: dead[0] = true :: dead[1] = true :: collector_dead = true fi }
    :: atomic { dead[0] && intent[0] -> intent[0] = false }
    :: atomic { dead[1] && intent[1] -> intent[1] = false }
    :: break
    od
}

init {
    atomic {
        /* an old image in repository 1, or an old blob that nobody needs any more, or nothing */
        if
        :: bytes = true; linked[1] = true
        :: bytes = true
        :: true
        fi;
        run Writer(0);
#ifndef RESTORES
        run Writer(1);
#endif
        run World();
#if MUTANT == TWO_COLLECTORS
        run Collector(1); run Collector(1)
#else
        run Collector(2)
#endif

    }
}
