-- 43 statements of the shape of ClickBench's, over one table of what visitors of web sites did. One statement ends with `;`.
select count(*) from hits;
select count(*) from hits where adv_engine_id <> 0;
select sum(adv_engine_id), count(*), avg(resolution_width) from hits;
select avg(user_id) from hits;
select count(distinct user_id) from hits;
select count(distinct search_phrase) from hits;
select min(event_date), max(event_date) from hits;
select adv_engine_id, count(*) from hits where adv_engine_id <> 0 group by adv_engine_id order by count(*) desc;
select region_id, count(distinct user_id) as u from hits group by region_id order by u desc limit 10;
select region_id, sum(adv_engine_id), count(*) as c, avg(resolution_width), count(distinct user_id)
  from hits group by region_id order by c desc limit 10;
select mobile_phone_model, count(distinct user_id) as u from hits where mobile_phone_model <> ''
  group by mobile_phone_model order by u desc limit 10;
select mobile_phone, mobile_phone_model, count(distinct user_id) as u from hits where mobile_phone_model <> ''
  group by mobile_phone, mobile_phone_model order by u desc limit 10;
select search_phrase, count(*) as c from hits where search_phrase <> '' group by search_phrase order by c desc limit 10;
select search_phrase, count(distinct user_id) as u from hits where search_phrase <> ''
  group by search_phrase order by u desc limit 10;
select search_engine_id, search_phrase, count(*) as c from hits where search_phrase <> ''
  group by search_engine_id, search_phrase order by c desc limit 10;
select user_id, count(*) from hits group by user_id order by count(*) desc limit 10;
select user_id, search_phrase, count(*) from hits group by user_id, search_phrase order by count(*) desc limit 10;
select user_id, search_phrase, count(*) from hits group by user_id, search_phrase limit 10;
select user_id, extract(minute from event_time) as m, search_phrase, count(*) from hits
  group by user_id, m, search_phrase order by count(*) desc limit 10;
select user_id from hits where user_id = 435090932899640449;
select count(*) from hits where url like '%google%';
select search_phrase, min(url), count(*) as c from hits where url like '%google%' and search_phrase <> ''
  group by search_phrase order by c desc limit 10;
select search_phrase, min(url), min(title), count(*) as c, count(distinct user_id) from hits
  where title like '%Google%' and url not like '%.google.%' and search_phrase <> ''
  group by search_phrase order by c desc limit 10;
select * from hits where url like '%google%' order by event_time limit 10;
select search_phrase from hits where search_phrase <> '' order by event_time limit 10;
select search_phrase from hits where search_phrase <> '' order by search_phrase limit 10;
select search_phrase from hits where search_phrase <> '' order by event_time, search_phrase limit 10;
select counter_id, avg(length(url)) as l, count(*) as c from hits where url <> ''
  group by counter_id having count(*) > 1000 order by l desc limit 25;
select regexp_replace(referer, '^https?://(?:www\.)?([^/]+)/.*$', '\1') as k, avg(length(referer)) as l, count(*) as c,
  min(referer) from hits where referer <> '' group by k having count(*) > 1000 order by l desc limit 25;
select sum(resolution_width), sum(resolution_width + 1), sum(resolution_width + 2), sum(resolution_width + 3),
  sum(resolution_width + 4), sum(resolution_width + 5), sum(resolution_width + 6), sum(resolution_width + 7),
  sum(resolution_width + 8), sum(resolution_width + 9), sum(resolution_width + 10), sum(resolution_width + 11),
  sum(resolution_width + 12), sum(resolution_width + 13), sum(resolution_width + 14), sum(resolution_width + 15),
  sum(resolution_width + 16), sum(resolution_width + 17), sum(resolution_width + 18), sum(resolution_width + 19),
  sum(resolution_width + 20), sum(resolution_width + 21), sum(resolution_width + 22), sum(resolution_width + 23),
  sum(resolution_width + 24), sum(resolution_width + 25), sum(resolution_width + 26), sum(resolution_width + 27),
  sum(resolution_width + 28), sum(resolution_width + 29), sum(resolution_width + 30), sum(resolution_width + 31),
  sum(resolution_width + 32), sum(resolution_width + 33), sum(resolution_width + 34), sum(resolution_width + 35),
  sum(resolution_width + 36), sum(resolution_width + 37), sum(resolution_width + 38), sum(resolution_width + 39)
  from hits;
select search_engine_id, client_ip, count(*) as c, sum(is_refresh), avg(resolution_width) from hits
  where search_phrase <> '' group by search_engine_id, client_ip order by c desc limit 10;
select watch_id, client_ip, count(*) as c, sum(is_refresh), avg(resolution_width) from hits
  where search_phrase <> '' group by watch_id, client_ip order by c desc limit 10;
select watch_id, client_ip, count(*) as c, sum(is_refresh), avg(resolution_width) from hits
  group by watch_id, client_ip order by c desc limit 10;
select url, count(*) as c from hits group by url order by c desc limit 10;
select 1, url, count(*) as c from hits group by 1, url order by c desc limit 10;
select client_ip, client_ip - 1, client_ip - 2, client_ip - 3, count(*) as c from hits
  group by client_ip, client_ip - 1, client_ip - 2, client_ip - 3 order by c desc limit 10;
select url, count(*) as page_views from hits where counter_id = 62 and event_date >= date '2013-07-01'
  and event_date <= date '2013-07-31' and dont_count_hits = 0 and is_refresh = 0 and url <> ''
  group by url order by page_views desc limit 10;
select title, count(*) as page_views from hits where counter_id = 62 and event_date >= date '2013-07-01'
  and event_date <= date '2013-07-31' and dont_count_hits = 0 and is_refresh = 0 and title <> ''
  group by title order by page_views desc limit 10;
select url, count(*) as page_views from hits where counter_id = 62 and event_date >= date '2013-07-01'
  and event_date <= date '2013-07-31' and is_refresh = 0 and is_link <> 0 and is_download = 0
  group by url order by page_views desc limit 10 offset 1000;
select traffic_source_id, search_engine_id, adv_engine_id,
  case when search_engine_id = 0 and adv_engine_id = 0 then referer else '' end as src, url as dst, count(*) as page_views
  from hits where counter_id = 62 and event_date >= date '2013-07-01' and event_date <= date '2013-07-31'
  and is_refresh = 0 group by traffic_source_id, search_engine_id, adv_engine_id, src, dst
  order by page_views desc limit 10 offset 1000;
select url_hash, event_date, count(*) as page_views from hits where counter_id = 62 and event_date >= date '2013-07-01'
  and event_date <= date '2013-07-31' and is_refresh = 0 and traffic_source_id in (-1, 6)
  and referer_hash = 3594120000172545465 group by url_hash, event_date order by page_views desc limit 10 offset 100;
select window_client_width, window_client_height, count(*) as page_views from hits where counter_id = 62
  and event_date >= date '2013-07-01' and event_date <= date '2013-07-31' and is_refresh = 0 and dont_count_hits = 0
  and url_hash = 2868770270353813622 group by window_client_width, window_client_height
  order by page_views desc limit 10 offset 10000;
select date_trunc('minute', event_time) as m, count(*) as page_views from hits where counter_id = 62
  and event_date >= date '2013-07-14' and event_date <= date '2013-07-15' and is_refresh = 0 and dont_count_hits = 0
  group by date_trunc('minute', event_time) order by date_trunc('minute', event_time) limit 10 offset 1000;
