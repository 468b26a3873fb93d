/* Airports by code or by the beginnings of words. */
#ifndef SEARCH_H
#define SEARCH_H

#include <nunatak.h>

enum field { ICAO, IATA, NAME, CITY, REGION, COUNTRY, ELEVATION_FT, LATITUDE, LONGITUDE, TIME_ZONE, FIELDS };
#define BEST 20

struct answer {
    unsigned count;         /* airports that match */
    unsigned shown;         /* of them in `best` */
    uint16_t best[BEST];    /* most fitting first */
    unsigned fitness[BEST];
};

void search_index(void);
void search(const char *query, struct answer *answer);
void search_fields(unsigned airport, const char *fields[FIELDS]);
unsigned search_size(void);

#endif
