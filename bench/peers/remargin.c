/* The peer of margin_remargin.py: the same figures, states and boundary marks, as one would write them in C.
 * Built by the benchmark with gcc -O3 -march=native -ffast-math -fopenmp; the same arrays, the same threads. */
#include <math.h>
#include <stdint.h>

void remargin(int64_t buckets, const int32_t *offsets, const int32_t *instruments, const double *contracts,
              const double *session_values, const double *net_coins, const double *contract_values,
              const int32_t *quotes, const double *floors, const double *tiers, int64_t depth,
              const double *coin_prices,
              int64_t coins, const double *haircuts, int64_t slices, const double *levels,
              const double *rounding, double *figures, uint8_t *states, uint8_t *flags)
{
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < buckets; b++) {
        double maintenance = 0, initial = 0, gross = 0, slack = 2.0 + coins, profit = 0;
        int in_coins = 0, at_floor = 0;
        for (int32_t p = offsets[b]; p < offsets[b + 1]; p++) {
            const int32_t i = instruments[p];
            const double *floor = floors + (int64_t)i * (depth + 1);
            const double price = coin_prices[quotes[i]];
            const double value = contracts[p] * contract_values[i];
            const double notional = fabs(value);
            int64_t k = 0;
            for (int64_t t = 1; t < depth; t++) k += notional >= floor[t];
            const double *tier = tiers + ((int64_t)i * depth + k) * 3;
            const double needed = notional * tier[0] - tier[1];
            const double by_leverage = notional * tier[2];
            maintenance += needed * price;
            initial += (by_leverage > needed ? by_leverage : needed) * price;
            gross += (notional + fabs(session_values[p])) * price;
            slack += rounding[quotes[i]];
            const double reach = notional * 1e-9 + 2.0;
            at_floor |= notional + reach >= floor[k + 1];
            at_floor |= (k > 0) & (notional - reach < floor[k]);
            if (quotes[i] == 0) profit += value - session_values[p];
            else in_coins = 1;
        }
        double equity = 0;
        for (int64_t c = 0; c < coins; c++) {
            double net = net_coins[b * coins + c];
            gross += fabs(net) * coin_prices[c];
            if (c == 0) net += profit;
            else if (in_coins)
                for (int32_t p = offsets[b]; p < offsets[b + 1]; p++)
                    if (quotes[instruments[p]] == c)
                        net += contracts[p] * contract_values[instruments[p]] - session_values[p];
            double counted = net < 0 ? net : 0;
            for (int64_t part = 0; part < slices; part++) {
                const double *slice = haircuts + (c * slices + part) * 3;
                const double inside = (net < slice[1] ? net : slice[1]) - slice[0];
                counted += (inside > 0 ? inside : 0) * slice[2];
            }
            equity += counted * coin_prices[c];
        }
        figures[b * 3] = equity;
        figures[b * 3 + 1] = maintenance;
        figures[b * 3 + 2] = initial;
        const double near = 1e-9 * (gross + initial) + slack;
        int is_near = at_floor | (fabs(equity) <= near) | (fabs(equity - initial) <= near), state = 0;
        for (int l = 0; l < 5; l++) {
            const double over = equity - maintenance * levels[l];
            state += over < 0;
            is_near |= fabs(over) <= near * (levels[l] > 1 ? levels[l] : 1);
        }
        states[b] = (uint8_t)state;
        flags[b] = (uint8_t)((equity < 0) | (equity < initial) << 1 | is_near << 2);
    }
}
